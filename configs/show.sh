#!/bin/sh
# show.sh SUPERVISOR   starts the demo, if it is not running yet, and shows it at work
supervisor=$1
cd "$(dirname "$0")/.." || exit 1

say() { printf '\n# %s\n' "$*"; }
run() { printf '$ %s\n' "$*" && "$@"; }
# Lines of records, wrapped for a terminal of 80 columns; the date is today's.
narrow() { fold -s -w 76 | sed '/^[0-9][0-9]:[0-9][0-9]:/!s/^/    /'; }
last() { grep -- "$1" | tail -n "$2" | narrow; }

if "$supervisor" status >/dev/null 2>&1; then
    echo "A supervisor is already running; here is what it does."
else
    run "$supervisor" start configs/ --detach
    # 1: something could not be started. Here it is chroot-empty, on purpose.
    [ $? -le 1 ] && "$supervisor" status >/dev/null || exit 1
    echo
    echo "Ten seconds, so that there is something to see …"
    sleep 10
fi

say "What runs. CPU/CAP: what it uses and may use; THR: share of throttled periods."
run "$supervisor" status || exit 1

say "A page from the web server, http://127.0.0.1:8470/"
perl -MIO::Socket::INET -e '
    my $web = IO::Socket::INET->new(PeerAddr => "127.0.0.1:8470", Timeout => 5) or die "no answer: $!\n";
    print $web "GET / HTTP/1.0\r\n\r\n";
    print grep { $body ||= /^\r?$/; $body && !/^\r?$/ } <$web>'

say "What containers say, in the order they said it."
run "$supervisor" logs -n 8 web flapper writer job

say "The namespaces that a container got. Compare: ls -l /proc/self/ns"
run "$supervisor" logs -n 14 namespaces

say "The hog is throttled, and the record says what would have sufficed."
"$supervisor" events | last 'hog .*cgroup.throttled' 1

say "The flapper is started again, later each time."
"$supervisor" events | last 'flapper .*backoff' 3

say "chroot-empty has nothing to execute; trying again would not help."
"$supervisor" events | last 'chroot-empty .*failed' 2

cat <<END

# All of it is still running. Next:
  $supervisor status           # again
  $supervisor logs -f          # what they say, as they say it; Ctrl-C ends it
  $supervisor inspect hog      # everything known about one of them
  $supervisor kill web -s KILL # it comes back
  $supervisor stop             # ends them all, and the supervisor
END

# Last part, still PID 1: runs the command, says how it ended, and waits to be switched off.
# Two ports lead to machine.py: "output" takes the command's output; "control" brings signals in and takes the exit code.
cd /run/guest
bb=/run/guest/busybox
echo -1000 >/proc/self/oom_score_adj
for port in /sys/class/virtio-ports/*; do
    read -r name <"$port/name"
    [ "$name" = output ] && output=/dev/${port##*/}
    [ "$name" = control ] && control=/dev/${port##*/}
done
exec 8<>"$control" </dev/null

# Through a pipe, as people's programs expect: a port may be opened only once.
$bb mkfifo pipe
$bb cat pipe >"$output" &
cat=$!
$bb setsid $bb sh ./command >pipe 2>&1 8>&- &
command=$!
while read -r signal <&8; do kill -"$signal" -"$command"; done &
wait "$command"
code=$?

# A left-over process would keep the pipe open. Twice, for what was forked meanwhile.
for process in /proc/[0-9]* /proc/[0-9]*; do
    case ${process#/proc/} in
    1 | "$cat") ;;
    *) [ ! -e "$process/exe" ] || kill -9 "${process#/proc/}" ;;
    esac
done
wait "$cat"
$bb sync
echo "$code" >&8
while :; do $bb sleep 1000; done

# A web server of one page, for configs/web.toml. Needs nothing but Debian's perl-base.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;    # every line at once
my $address = '127.0.0.1:8470';
my $server = IO::Socket::INET->new(LocalAddr => $address, Listen => 16, ReuseAddr => 1)
    or die "cannot listen on $address: $!\n";
print "listening on http://$address/\n";

my $served = 0;
while (my $client = $server->accept) {
    # One visitor at a time; who says nothing for two seconds, has gone.
    eval {
        local $SIG{ALRM} = sub { die "silent\n" };
        local $SIG{PIPE} = 'IGNORE';
        alarm 2;
        my $request = <$client> // die "silent\n";
        while (<$client>) { last if /^\r?$/ }
        my ($method, $path) = $request =~ m{^([A-Z]+) (/[!-~]*) HTTP/1};
        die "not HTTP\n" unless $path;
        my $status = $path eq '/' ? '200 OK' : '404 Not Found';
        my $page = $path eq '/' ? page(++$served) : "There is one page here: /\n";
        my $head = "HTTP/1.1 $status\r\nContent-Type: text/plain; charset=utf-8\r\n"
            . 'Content-Length: ' . length($page) . "\r\nConnection: close\r\n\r\n";
        print $client $head, $method eq 'HEAD' ? '' : $page;
        print "$method $path ", substr($status, 0, 3), "\n";
        1;
    } or print STDERR "a visitor was turned away: $@";
    alarm 0;
    close $client;
}

sub page {
    my ($visits) = @_;
    open my $file, '<', '/proc/sys/kernel/hostname' or die "hostname: $!\n";
    chomp(my $hostname = <$file>);
    return "Hello from $ENV{SUPERVISOR_NAME}: host name $hostname, PID $$, page number $visits of this run.\n";
}

# Does each system call of its arguments in a child of its own, and prints its name and what came of it, a line each.
# Arguments: name=number=argument,argument,... where an argument is an integer, or a text after a colon (by address).
use strict;
use Errno;
$| = 1;
my %name = map { eval("&Errno::$_") => $_ } grep { !/EWOULDBLOCK|EDEADLOCK|EOPNOTSUPP|ENOTSUP/ } keys %!;
for my $case (@ARGV) {
  my ($what, $number, $list) = split /=/, $case, 3;
  my @arguments = map { /^:(.*)/ ? "$1" : $_ + 0 } split /,/, $list;
  pipe my $reader, my $writer;
  my $child = fork;
  if (!$child) {
    local $SIG{ALRM} = sub { exit 0 };
    alarm 5;
    my $result = syscall($number + 0, @arguments);
    # Of a call that forks there are two who come back.
    syswrite $writer, ($result == -1 ? $name{ $! + 0 } // $! + 0 : "ok") . "\n";
    exit 0;
  }
  close $writer;
  my $said = <$reader> // "killed\n";
  waitpid $child, 0;
  print "$what $said";
}

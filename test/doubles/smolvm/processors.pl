# Runs a VMM, and is its machine's processors: while the VMM is stopped, so is everything of its guest's, as threads of
# it would be. In Perl, because that can wait for a child that stops or goes on (waitpid(2)), and node cannot: it would
# have to look again and again, and every machine with it. Arguments: the VMM's command line.
use strict;
use warnings;
use POSIX qw(WIFSTOPPED WUNTRACED);

# Linux's, which POSIX.pm does not know: to be told too when one goes on, and what that looks like.
use constant { WCONTINUED => 8, CONTINUED => 0xffff };

my $vmm = fork // die "fork: $!\n";
if ($vmm == 0) { exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n" }
my @stopped;
while (waitpid($vmm, WUNTRACED | WCONTINUED) > 0) {
  my $status = ${^CHILD_STATUS_NATIVE};
  if ($status == CONTINUED) { kill CONT => @stopped; @stopped = () }
  elsif (WIFSTOPPED($status)) { stop() }
  else { exit 0 }
}

# What is being stopped may have started something: until everything stands still.
sub stop {
  while (my @running = map { $_->[1] =~ /^[TtZX]/ ? () : $_->[0] } guest()) {
    kill STOP => @running;
    push @stopped, @running;
    select undef, undef, undef, 0.002;
  }
}

# [pid, state] of whoever descends from the VMM in another process namespace than its own.
sub guest {
  my $own = readlink "/proc/$$/ns/pid";
  my (%state, %children);
  for my $file (glob "/proc/[0-9]*/stat") {
    open my $stat, '<', $file or next;
    local $/;
    my ($pid, $state, $parent) = (<$stat> // '') =~ /^(\d+) \(.*\) (\S) (\d+)/s or next;
    $state{$pid} = $state;
    push @{ $children{$parent} }, $pid;
  }
  my @below = ($vmm);
  for (my $i = 0; $i < @below; $i++) { push @below, @{ $children{ $below[$i] } // [] } }
  return map { [$_, $state{$_}] } grep { ($own ne (readlink("/proc/$_/ns/pid") // $own)) } @below;
}

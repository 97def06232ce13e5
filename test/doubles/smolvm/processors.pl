# Runs a VMM, and is its machine's processors: while the VMM is stopped, so is everything of its guest's, as threads of
# it would be. A look at one small file fifty times a second costs a host with sixteen of them next to nothing.
# Arguments: the VMM's command line.
use strict;
use warnings;
use POSIX qw(WNOHANG);

my $vmm = fork // die "fork: $!\n";
if ($vmm == 0) { exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n" }
my @stopped;
while (waitpid($vmm, WNOHANG) == 0) {
  if (stands_still($vmm)) {
    # What was being stopped may have started something: it is seen at the next look.
    my @running = map { $_->[1] =~ /^[TtZX]/ ? () : $_->[0] } guest();
    kill STOP => @running;
    push @stopped, @running;
  }
  elsif (@stopped) { kill CONT => @stopped; @stopped = () }
  select undef, undef, undef, 0.02;
}

sub stands_still {
  open my $stat, '<', "/proc/$_[0]/stat" or return 0;
  return (<$stat> // '') =~ /\) [Tt] /;
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

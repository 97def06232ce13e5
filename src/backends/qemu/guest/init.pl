#!/usr/bin/perl
# A guest's first process. It starts the two that make the guest, and ends with either: one has the link to the host, the
# other the programs, and the disk that they run from.
#
# A machine that becomes a template has read all that it needs when it says hello on the link and waits: a template is
# taken in that moment, so that it holds no identity, no key, no disk and nothing of any bottle. One that only boots is told
# who it is before it asks (a word of its kernel's says so), and says no hello: there each of the two reads what it needs
# itself, and the SSH server begins beside them, up to where it wants its key.
#
# The image is the root of a mount namespace of its own. This one, with the SSH server and its key, is in none of
# its folders.

require '/bottle/system.pl';

my $IS_TOLD = $ENV{BOTTLE_TOLD};
# What a command server listens on: only root could take it.
my $COMMAND_PORT = 1;

eval { boot(); 1 } or fail($@);
power_off();

sub boot {
  mount_at('proc', PROCESSES(), 'proc', 'nosuid,nodev,noexec');
  mount_at('sysfs', '/sys', 'sysfs', 'nosuid,nodev,noexec');
  mount_at('devtmpfs', '/dev', 'devtmpfs', 'nosuid');
  # They answer when the memory is full: the agent's programs go first.
  put(PROCESSES() . "/$$/oom_score_adj", '-1000');
  if (!$IS_TOLD) {
    require '/bottle/link.pl';
    require '/bottle/server.pl';
    stop_timer();
  }
  # PF_UNIX, SOCK_STREAM
  socketpair my $to_server, my $to_link, 1, 1, 0 or die "socketpair: $!\n";
  my $link = start(sub {
    close $to_link;
    require '/bottle/link.pl';
    attend($to_server, $IS_TOLD);
  });
  my $server = start(sub {
    close $to_server;
    # Before there is a link, so that whoever comes over it is not refused.
    raise_loopback();
    my $listener = listen_here();
    syswrite $to_link, "listening\n";
    require '/bottle/server.pl';
    serve($listener, $to_link);
  });
  close $_ for $to_server, $to_link;
  if ($IS_TOLD) {
    # Not while the others want the processors; an end of theirs is heard meanwhile.
    local $SIG{CHLD} = sub {};
    sleep 3;
    stop_timer();
  }
  # Every orphan of the guest ends up here.
  while ((my $pid = wait) > 0) {
    die "the guest's own programs ended\n" if $pid == $server || $pid == $link;
  }
}

sub start {
  my ($run) = @_;
  my $pid = fork;
  die "fork: $!\n" unless defined $pid;
  return $pid if $pid;
  eval { $run->(); 1 } or fail($@);
  exit 1;
}

# Tells whoever can hear it.
sub fail {
  my ($why) = @_;
  chomp $why;
  print STDERR "init: $why\n";
  if (open my $port, '+<', PORT()) { syswrite $port, "BOTTLE failed $why\n"; sleep 1; }
}

sub raise_loopback {
  socket my $socket, 2, 2, 0 or die "socket: $!\n";
  # SIOCSIFFLAGS: up and running.
  control($socket, 0x8914, pack 'a16 s x14', 'lo', 0x41);
}

sub listen_here {
  socket my $socket, 2, 1, 0 or die "socket: $!\n";
  setsockopt $socket, 1, 2, 1;
  bind $socket, pack('S n C4 x8', 2, $COMMAND_PORT, 127, 0, 0, 1) or die "bind: $!\n";
  listen $socket, 512;
  return $socket;
}

sub stop_timer {
  require '/bottle/timer.pl';
  stop_old_timer();
}

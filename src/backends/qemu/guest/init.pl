#!/usr/bin/perl
# A guest's first process. It loads its drivers, says hello on the link and waits: a template is taken in that moment,
# so that a template holds no identity, no key, no disk and nothing of any bottle. (Who only boots was told who it is
# before it asked, and says no hello.) With the identity come the clock and fresh random numbers; then it starts the two
# programs that make the guest, and ends with either. While the one is given its SSH connection, the other goes for the disk.
#
# The image is the root of a mount namespace of its own. This one, with the SSH server and its key, is in none of
# its folders.

require '/bottle/system.pl';
require '/bottle/image.pl';
require '/bottle/relay.pl';
require '/bottle/server.pl';

my $PORT = '/dev/vport0p1';
# Not where it is looked for: an SSH server reads all of its counters for chance, which the kernel gives it better and at once.
my $PROCESSES = '/bottle/proc';

eval { boot(); 1 } or do {
  my $why = $@;
  chomp $why;
  print STDERR "init: $why\n";
  if (open my $port, '+<', $PORT) { syswrite $port, "BOTTLE failed $why\n"; sleep 1; }
};
power_off();

sub boot {
  fix_addresses() if $ENV{BOTTLE_EMULATED};
  mount_at('proc', $PROCESSES, 'proc', 'nosuid,nodev,noexec');
  mount_at('sysfs', '/sys', 'sysfs', 'nosuid,nodev,noexec');
  mount_at('devtmpfs', '/dev', 'devtmpfs', 'nosuid');
  load_module($_) for @{from_list('/bottle/modules/first')};
  my $port = open_port();
  raise_loopback();
  protect($$);
  # The disk's driver looks at no disk until there is one.
  put('/sys/bus/virtio/drivers_autoprobe', '0');
  load_module($_) for @{from_list('/bottle/modules/then')};
  my $said = said_already($port);
  my $is_told = $said ne '';
  if (!$is_told) {
    stop_old_timer();
    syswrite $port, "BOTTLE hello 1\n";
  }
  my ($line, $left) = line_from($port, $said);
  my $identity = from_json($line);
  # It was said when this machine began.
  take_identity($identity, $is_told ? (split / /, content_of("$PROCESSES/uptime"))[0] : 0);

  # Before there is a link, so that whoever comes over it is not refused.
  my $listener = listen_here();
  my $relay = start(sub { close $listener; relay($port, $left) });
  my $server = start(sub { close $port; serve($listener, $identity) });
  stop_old_timer() if $is_told;
  close $port;
  close $listener;
  # Every orphan of the guest ends up here.
  while ((my $pid = wait) > 0) {
    die "the guest's own programs ended\n" if $pid == $server || $pid == $relay;
  }
}

# An emulator translates code anew for each address at which it lies. So all programs here have the same ones each time, but
# those that lend their caller another user's powers: of them the kernel takes this back.
sub fix_addresses {
  # ADDR_NO_RANDOMIZE
  must('personality', 0x0040000);
}

# They answer when the memory is full: the agent's programs go first.
sub protect {
  my ($pid) = @_;
  put("$PROCESSES/$pid/oom_score_adj", '-1000');
}

sub start {
  my ($run) = @_;
  my $pid = fork;
  die "fork: $!\n" unless defined $pid;
  return $pid if $pid;
  eval { $run->(); 1 } or print STDERR "init: $@";
  exit 1;
}

sub from_list {
  open my $list, '<', $_[0] or return [];
  chomp(my @names = <$list>);
  return \@names;
}

sub load_module {
  my ($name) = @_;
  open my $file, '<', "/bottle/modules/$name" or die "$name: $!\n";
  return if call('finit_module', fileno($file) + 0, '', 0);
  die "module $name: $!\n" unless $! == 17;
}

# Devices come up by themselves once their driver is there.
sub open_port {
  for (1 .. 500) {
    if (open my $port, '+<', $PORT) { binmode $port; return $port; }
    select undef, undef, undef, 0.01;
  }
  die "no link: $!\n";
}

# What the host did not wait to be asked for.
sub said_already {
  my ($port) = @_;
  my $ready = '';
  vec($ready, fileno $port, 1) = 1;
  # With nobody at the other end there is something to read, and it is nothing.
  select $ready, undef, undef, 0 and sysread $port, my $text, 4096;
  return defined $text ? $text : '';
}

# Returns the line, and what came behind it: that is the next reader's.
sub line_from {
  my ($port, $text) = @_;
  until ($text =~ /\n/) {
    die "identity too long\n" if length $text > 65536;
    # Nobody is at the other end yet.
    sysread $port, $text, 4096, length $text or select undef, undef, undef, 0.005;
  }
  return split /\n/, $text, 2;
}

sub raise_loopback {
  socket my $socket, 2, 2, 0 or die "socket: $!\n";
  # SIOCSIFFLAGS: up and running.
  control($socket, 0x8914, pack 'a16 s x14', 'lo', 0x41);
}

# A PC's first timer ticks on although a newer one is in use, and the process of an idle machine wakes for it 36 times a
# second. (Later kernels stop it themselves.) It is stopped through its ports, which perl has no word for, so a program of
# thirteen instructions is written and run.
sub stop_old_timer {
  return unless content_of('/sys/devices/system/clockevents/clockevent0/current_device') =~ /^lapic/;
  my $code = pack 'H*', join '',
    # ioperm(0x40, 4, 1)
    'b8ad000000', 'bf40000000', 'be04000000', 'ba01000000', '0f05',
    # Of the 8254's first counter: mode 0, which counts down once, from 0.
    'b030', 'e643', '31c0', 'e640', 'e640',
    # exit(0)
    'b83c000000', '31ff', '0f05';
  # An ELF file of one segment: its header, that of the segment, and the code behind both (elf(5)).
  my ($place, $headers) = (0x400000, 120);
  my $size = $headers + length $code;
  my $elf = pack('a4 C5 x7 S2 L Q3 L S6', "\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1, $place + $headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    . pack('L2 Q6', 1, 5, 0, $place, $place, $size, $size, 0x1000) . $code;
  put('/bottle/stop-timer', $elf, 0755);
  system { '/bottle/stop-timer' } 'stop-timer';
}

sub take_identity {
  my ($identity, $age) = @_;
  my ($seconds, $nanoseconds) = @{$identity->{time}};
  $nanoseconds += 1e9 * $age;
  set_clock($seconds + int($nanoseconds / 1e9), $nanoseconds % 1e9);
  my $seed = pack 'H*', $identity->{seed};
  open my $random, '+<', '/dev/urandom' or die "random: $!\n";
  # RNDADDENTROPY, then RNDRESEEDCRNG: two clones of one template must not draw the same numbers.
  control($random, 0x40085203, pack 'i i a*', 8 * length $seed, length $seed, $seed);
  control($random, 0x5207, 0);
  srand unpack 'L', substr $seed, -4;
  must('sethostname', "$identity->{hostname}", length $identity->{hostname});
  mkdir '/etc', 0700;
  mkdir '/etc/dropbear', 0700;
  put('/etc/dropbear/key', pack('H*', $identity->{hostKey}), 0600);
  # The link's user is not the image's, and needs no password: the server hears the port alone.
  put('/etc/passwd', "root::0:0:link:/root:/bottle/none\n", 0644);
  put('/etc/shells', "/bottle/none\n", 0644);
}

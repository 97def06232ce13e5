# The link's process: loads the drivers, takes the one port to the host, hears who the guest is, and has an SSH server
# begin. With the identity come the clock and fresh random numbers, before anything of this guest's is made of either.

require '/bottle/relay.pl';

# Where the SSH server finds its key, and takes it from a pipe where it began before there was one.
my $KEY = '/etc/dropbear/key';

sub attend {
  my ($server, $is_told) = @_;
  $SIG{PIPE} = 'IGNORE';
  my @ssh = $is_told ? begin_early() : ();
  load_modules('first');
  syswrite $server, "drivers\n" if $is_told;
  my $port = open_port();
  if (!$is_told) {
    load_disk_driver();
    syswrite $port, "BOTTLE hello 1\n";
  }
  my ($line, $left) = line_from($port);
  my $identity = from_json($line);
  # It was said when this machine began.
  take_identity($identity, $is_told ? (split / /, content_of(PROCESSES() . '/uptime'))[0] : 0);
  syswrite $server, $is_told ? "$line\n" : "drivers\n$line\n";
  give_key(pack 'H*', $identity->{hostKey});
  # Whoever comes over the link is not to be refused.
  sysread $server, my $listening, 80 or die "nobody serves\n";
  close $server;
  relay($port, $left, @ssh);
}

# It reads its key before it asks for chance, so that of what a guest is told nothing is missing by then.
sub begin_early {
  must('mknodat', -100, $KEY, 0010600, 0);
  return begin_ssh();
}

# Devices come up by themselves once their driver is there.
sub open_port {
  for (1 .. 2500) {
    if (open my $port, '+<', PORT()) { binmode $port; return $port; }
    select undef, undef, undef, 0.002;
  }
  die "no link: $!\n";
}

# Returns the line, and what came behind it: that is the next reader's.
sub line_from {
  my ($port) = @_;
  my $text = '';
  until ($text =~ /\n/) {
    die "identity too long\n" if length $text > 65536;
    # Nobody is at the other end yet.
    sysread $port, $text, 4096, length $text or select undef, undef, undef, 0.005;
  }
  return split /\n/, $text, 2;
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
  must('sethostname', "$identity->{hostname}", length $identity->{hostname});
}

# To the server that waits for it, and for those that come after a lost connection.
sub give_key {
  my ($key) = @_;
  if (-p $KEY) {
    put($KEY, $key);
    unlink $KEY;
  }
  put($KEY, $key, 0600);
}

1;

# Starts the processes of a guest on the keeper's word, as src/jail/programs/guest-init.ts does in a jail and in the
# same language (src/jail/guest-protocol.ts); an image need not have Node, a shell or a sound passwd for it.
# It accepts on the guest's loopback, where only who knows the link's secret is listened to: the agent does not.

# A port that only root could take.
my $PORT = 1;
my $MAX_HEADER_BYTES = 2 * 1024 * 1024;
# A connection that does not say what it is for, or a stream whose exec never comes.
my $PATIENCE_SECONDS = 10;
# Far more than pending execs have; what an agent could open besides ends with the patience.
my $MAX_PENDING = 400;
my @SIGNALS = split / /, 'ZERO HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS';

my $listener;
my $secret;
# The agent's shell, once the image is entered; or why it could not be.
my ($shell, $failure);
my %user;
my %connections;
my %streams;
my %execs;

sub listen_here {
  socket my $socket, 2, 1, 0 or die "socket: $!\n";
  setsockopt $socket, 1, 2, 1;
  bind $socket, pack('S n C4 x8', 2, $PORT, 127, 0, 0, 1) or die "bind: $!\n";
  listen $socket, 512;
  return $socket;
}

# Whoever comes before the image is entered waits.
sub serve {
  ($listener, my $identity) = @_;
  $SIG{PIPE} = 'IGNORE';
  $SIG{CHLD} = 'IGNORE';
  $secret = $identity->{secret};
  %user = %{$identity->{user}};
  eval { enter_image($identity); $shell = shell_here(); 1 } or do {
    $failure = $@;
    chomp $failure;
  };
  while (1) {
    my $wanted = '';
    vec($wanted, fileno $listener, 1) = 1;
    vec($wanted, $_, 1) = 1 for keys %connections;
    my $ready = $wanted;
    my $count = select $ready, undef, undef, $PATIENCE_SECONDS;
    next if $count < 0;
    greet() if vec $ready, fileno $listener, 1;
    for my $fd (keys %connections) { hear($fd) if vec $ready, $fd, 1; }
    forget_silent();
  }
}

sub greet {
  accept my $socket, $listener or return;
  # IPPROTO_TCP, TCP_NODELAY
  setsockopt $socket, 6, 1, 1;
  return if keys(%connections) + keys(%streams) + keys(%execs) >= $MAX_PENDING;
  $connections{fileno $socket} = {socket => $socket, text => '', since => time};
}

# Takes lines off a connection and not a byte of what follows them.
sub hear {
  my ($fd) = @_;
  my $connection = $connections{$fd};
  my $socket = $connection->{socket};
  # MSG_PEEK
  defined recv $socket, my $peeked, 65536, 2 or return delete $connections{$fd};
  return delete $connections{$fd} if $peeked eq '';
  my $end = index $peeked, "\n";
  sysread $socket, my $bytes, $end < 0 ? length $peeked : $end + 1;
  $connection->{text} .= $bytes;
  if (length $connection->{text} > $MAX_HEADER_BYTES) {
    say_to($socket, '{"error":"E2BIG"}');
    return delete $connections{$fd};
  }
  return if $end < 0;
  chop $connection->{text};
  if (!$connection->{known}) {
    return delete $connections{$fd} if $connection->{text} ne $secret;
    @$connection{qw(known text)} = (1, '');
    return;
  }
  delete $connections{$fd};
  my $header = eval { from_json($connection->{text}) };
  if (ref $header ne 'HASH') { return; }
  my $kind = $header->{kind};
  if ($kind eq 'ready') {
    say_to($socket, defined $failure ? '{"error":' . to_json($failure) . '}' : qq({"shell":"$shell"}));
  }
  # There is nothing that anybody should run in.
  elsif (defined $failure) { say_to($socket, '{"error":"ENOENT"}'); }
  elsif ($kind eq 'stream') {
    $streams{"$header->{token}/$header->{number}"} = {socket => $socket, since => time};
    begin($header->{token});
  }
  elsif ($kind eq 'exec') {
    $execs{$header->{token}} = {socket => $socket, header => $header, since => time};
    begin($header->{token});
  }
  elsif ($kind eq 'clock') { apart(sub { set_clock(@{$header->{time}}); say_to($socket, '{"connected":true}'); }, $socket); }
  elsif ($kind eq 'flush') { apart(sub { call('sync'); say_to($socket, '{"connected":true}'); }, $socket); }
  elsif ($kind eq 'probe') { apart(sub { probe($socket, $header) }, $socket); }
}

sub forget_silent {
  for my $held (\%connections, \%streams, \%execs) {
    for my $key (keys %$held) { delete $held->{$key} if time - $held->{$key}{since} > $PATIENCE_SECONDS; }
  }
}

# Once all of an exec is there.
sub begin {
  my ($token) = @_;
  my $exec = $execs{$token} or return;
  my @names = map { "$token/$_" } $exec->{header}{tty} ? (0) : (0 .. 2);
  for my $name (@names) { return unless $streams{$name}; }
  my @sockets = map { delete($streams{$_})->{socket} } @names;
  delete $execs{$token};
  my ($control, $header) = @$exec{qw(socket header)};
  my $run = $header->{tty} ? \&run_on_terminal : \&run_piped;
  apart(sub { $run->($control, $header, @sockets) }, $control);
}

# In a process of its own, with nobody else's connections.
sub apart {
  my ($run, $control) = @_;
  my $pid = fork;
  if (!defined $pid) { say_to($control, '{"error":"' . error_name($! + 0) . '"}'); return; }
  return if $pid;
  $SIG{CHLD} = 'DEFAULT';
  (%connections, %streams, %execs) = ();
  close $listener;
  $secret = undef;
  eval { $run->(); 1 } or do {
    my $why = $@;
    chomp $why;
    say_to($control, qq({"error":"$why"}));
  };
  exit 0;
}

sub say_to {
  my ($socket, $line) = @_;
  write_all($socket, "$line\n");
}

sub run_piped {
  my ($control, $header, @streams) = @_;
  my $pid = spawn($header, sub {
    open STDIN, '<&', $streams[0] or return;
    open STDOUT, '>&', $streams[1] or return;
    open STDERR, '>&', $streams[2] or return;
    return 1;
  });
  # The program has its own copies: with ours gone, the far end sees its end of file.
  undef @streams;
  say_to($control, qq({"pid":$pid}));
  my $ended = watch($pid);
  my %state = (pid => $pid, text => '', open => 1);
  while (1) {
    my $ready = '';
    vec($ready, fileno $ended, 1) = 1;
    vec($ready, fileno $control, 1) = 1 if $state{open};
    select $ready, undef, undef, undef;
    last if vec $ready, fileno $ended, 1;
    obey($control, \%state);
  }
  tell_exit($control, $pid);
}

sub run_on_terminal {
  my ($control, $header, $stream) = @_;
  # O_RDWR | O_NOCTTY
  sysopen my $master, '/dev/ptmx', 0402 or die error_name($! + 0) . "\n";
  # TIOCSPTLCK, TIOCGPTN
  control($master, 0x40045431, pack 'i', 0);
  my $path = '/dev/pts/' . unpack 'I', control($master, 0x80045430, pack 'I', 0);
  # Held, or the terminal would hang up before its last output was read.
  sysopen my $held, $path, 0402 or die error_name($! + 0) . "\n";
  chown account($header)->{uid}, 5, $path;
  set_size($master, $header->{tty});
  my $pid = spawn($header, sub {
    # TIOCSCTTY
    sysopen my $terminal, $path, 02 or return;
    ioctl $terminal, 0x540e, 0 or return;
    open STDIN, '<&', $terminal or return;
    open STDOUT, '>&', $terminal or return;
    open STDERR, '>&', $terminal or return;
    return 1;
  });
  say_to($control, qq({"pid":$pid}));
  my $ended = watch($pid);
  my %state = (pid => $pid, text => '', open => 1, resize => sub { set_size($master, $_[0]) });
  pump($control, \%state, $stream, $master, $held, $ended);
  close $stream;
  tell_exit($control, $pid);
}

# Carries a terminal's bytes until its program has ended and the last of its output is out.
sub pump {
  my ($control, $state, $stream, $master, $held, $ended) = @_;
  my ($in, $out, $mark, $reading) = ('', '', undef, 1);
  my $until;
  while (1) {
    my ($read, $write) = ('', '');
    vec($read, fileno $ended, 1) = 1 unless defined $mark;
    vec($read, fileno $control, 1) = 1 if $state->{open};
    vec($read, fileno $stream, 1) = 1 if $reading && length $in < 65536;
    vec($read, fileno $master, 1) = 1 if length $out < 65536 || defined $mark;
    vec($write, fileno $stream, 1) = 1 if length $out > (defined $mark ? length $mark : 0);
    vec($write, fileno $master, 1) = 1 if length $in && !defined $mark;
    my $wait = defined $until ? $until - time : undef;
    select $read, $write, undef, $wait;
    if (!defined $mark && vec $read, fileno $ended, 1) {
      # Nothing tells how much is still to read, so something unlikely is written behind it; should output be
      # stopped (Ctrl-S), it never comes, and the wait ends by itself.
      $mark = join '', map { int rand 10 } 1 .. 48;
      # O_NONBLOCK: F_SETFL
      fcntl $held, 4, 04002;
      syswrite $held, $mark;
      $until = time + 2;
    }
    obey($control, $state) if $state->{open} && vec $read, fileno $control, 1;
    if (vec $read, fileno $stream, 1) {
      my $got = sysread $stream, $in, 65536, length $in;
      $reading = 0 unless $got;
    }
    if (vec $read, fileno $master, 1) {
      my $got = sysread $master, $out, 65536, length $out;
      last if !$got;
    }
    if (vec $write, fileno $master, 1) {
      my $wrote = syswrite $master, $in, 1024;
      substr($in, 0, $wrote) = '' if $wrote;
    }
    my $at = defined $mark ? index $out, $mark : -1;
    if ($at >= 0) {
      substr($out, $at) = '';
      last;
    }
    last if defined $until && time >= $until;
    my $safe = defined $mark ? length($out) - length $mark : length $out;
    if ($safe > 0 && vec $write, fileno $stream, 1) {
      # MSG_DONTWAIT | MSG_NOSIGNAL: a reader that stopped must not keep a resize or a signal waiting.
      my $wrote = send $stream, substr($out, 0, $safe), 0x4040;
      if (defined $wrote) { substr($out, 0, $wrote) = ''; }
      elsif ($! != 11) { $out = ''; }
    }
  }
  write_all($stream, $out);
}

sub set_size {
  my ($terminal, $size) = @_;
  # TIOCSWINSZ
  my $words = pack 'S4', $size->{rows}, $size->{cols}, 0, 0;
  ioctl $terminal, 0x5414, $words;
}

sub account {
  my ($header) = @_;
  return ($header->{user} || '') eq 'root' ? {uid => 0, gid => 0} : \%user;
}

# @return pid of the program, which leads a session of its own. Dies with the error's name.
sub spawn {
  my ($header, $connect) = @_;
  pipe my $news, my $failure or die error_name($! + 0) . "\n";
  my $pid = fork;
  die error_name($! + 0) . "\n" unless defined $pid;
  if (!$pid) {
    become($header, $connect);
    my $number = $! + 0;
    syswrite $failure, error_name($number);
    exit 127;
  }
  close $failure;
  # It is closed by the program's start.
  sysread $news, my $error, 100;
  return $pid unless defined $error && length $error;
  waitpid $pid, 0;
  die "$error\n";
}

sub become {
  my ($header, $connect) = @_;
  my $account = account($header);
  call('setsid');
  $connect->() or return;
  # What makes the guest is spared when memory ends; this is not.
  eval { put('/proc/self/oom_score_adj', '0') };
  # RLIMIT_NPROC
  call('setrlimit', 6, pack 'Q Q', $header->{processes}, $header->{processes}) if $header->{processes};
  my $gid = $account->{gid};
  call('setgroups', 1, pack 'I', $gid) or return;
  call('setresgid', $gid, $gid, $gid) or return;
  my $uid = $account->{uid};
  call('setresuid', $uid, $uid, $uid) or return;
  chdir $header->{cwd} or return;
  umask 0022;
  # perl ignores FPE by itself.
  $SIG{$_} = 'DEFAULT' for qw(PIPE FPE CHLD);
  %ENV = %{$header->{env}};
  my @words = @{$header->{argv}};
  exec { $words[0] } @words;
}

# Readable once the process has ended.
sub watch {
  my ($pid) = @_;
  my $fd = number_of('pidfd_open', $pid, 0);
  open my $handle, '<&=', $fd or die "EIO\n";
  return $handle;
}

sub obey {
  my ($control, $state) = @_;
  my $got = sysread $control, $state->{text}, 65536, length $state->{text};
  if (!$got) {
    # The keeper let go of the exec: so does the process.
    $state->{open} = 0;
    kill KILL => -$state->{pid};
    return;
  }
  while ($state->{text} =~ s/^([^\n]*)\n//) {
    my $command = eval { from_json($1) } or next;
    if (my $name = $command->{kill}) {
      $name =~ s/^SIG//;
      kill $name => -$state->{pid} if grep { $_ eq $name } @SIGNALS;
    }
    $state->{resize}->($command->{resize}) if $command->{resize} && $state->{resize};
  }
  $state->{text} = '' if length $state->{text} > 65536;
}

sub tell_exit {
  my ($control, $pid) = @_;
  waitpid $pid, 0;
  my ($code, $signal) = ($? >> 8, $? & 127);
  my $name = $SIGNALS[$signal];
  say_to($control, !$signal ? qq({"exit":{"code":$code,"signal":null}})
    : defined $name ? qq({"exit":{"code":null,"signal":"SIG$name"}})
    : '{"exit":{"code":null,"signal":null}}');
}

# --- What can be reached from here: connects, or asks a name server's question, and says what came of it.

my $DNS_QUESTION = pack 'H*', 'b077010000010000000000000000020001';

sub probe {
  my ($control, $header) = @_;
  my @targets = @{$header->{targets}};
  my $started = now();
  my @probes = map { {target => $_, open_probe($_)} } @targets;
  my $deadline = $started + $header->{timeoutMs} / 1000;
  while (my @waiting = grep { !defined $_->{outcome} } @probes) {
    my ($read, $write) = ('', '');
    for my $probe (@waiting) {
      if ($probe->{target}{transport} eq 'tcp') { vec($write, fileno $probe->{socket}, 1) = 1; }
      else { vec($read, fileno $probe->{socket}, 1) = 1; }
    }
    my $left = $deadline - now();
    last if $left <= 0;
    select $read, $write, undef, $left;
    for my $probe (@waiting) {
      my $fd = fileno $probe->{socket};
      if (vec $write, $fd, 1) {
        # SOL_SOCKET, SO_ERROR
        my $error = unpack 'i', getsockopt $probe->{socket}, 1, 4;
        settle($probe, $error ? error_name($error) : 'answered', $started);
      }
      elsif (vec $read, $fd, 1) {
        settle($probe, defined recv($probe->{socket}, my $answer, 512, 0) ? 'answered' : error_name($! + 0), $started);
      }
    }
  }
  my @results = map {
    my ($target, $outcome) = ($_->{target}, defined $_->{outcome} ? $_->{outcome} : 'timeout');
    my $milliseconds = int 1000 * ((defined $_->{after} ? $_->{after} : now() - $started));
    qq({"host":"$target->{host}","port":$target->{port},"transport":"$target->{transport}","outcome":"$outcome","milliseconds":$milliseconds});
  } @probes;
  say_to($control, '{"results":[' . join(',', @results) . ']}');
}

sub settle {
  my ($probe, $outcome, $started) = @_;
  @$probe{qw(outcome after)} = ($outcome, now() - $started);
}

sub now {
  open my $uptime, '<', '/proc/uptime' or return time;
  return (split / /, <$uptime>)[0];
}

sub open_probe {
  my ($target) = @_;
  my ($host, $port) = @$target{qw(host port)};
  my $six = $host =~ /:/;
  my $type = $target->{transport} eq 'tcp' ? 1 : 2;
  # SOCK_NONBLOCK
  socket my $socket, $six ? 10 : 2, $type | 04000, 0 or return (outcome => error_name($! + 0), after => 0);
  my $address = $six ? pack('S n N a16 N', 10, $port, 0, six_bytes($host), 0) : pack('S n C4 x8', 2, $port, split /\./, $host);
  # EINPROGRESS
  connect $socket, $address or $! == 115 or return (outcome => error_name($! + 0), after => 0);
  if ($type == 2) { defined send $socket, $DNS_QUESTION, 0 or return (outcome => error_name($! + 0), after => 0); }
  return (socket => $socket);
}

sub six_bytes {
  my ($host) = @_;
  my ($head, $tail) = map { [split /:/, $_] } split(/::/, $host, 2), '';
  my @groups = $host =~ /::/ ? (@$head, (0) x (8 - @$head - @$tail), @$tail) : @$head;
  return pack 'n8', map { hex } @groups;
}

1;

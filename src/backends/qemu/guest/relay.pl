# Between the one port to the host and an SSH server that is started anew for each connection of the host's. The server
# listens nowhere. Before each handshake both sides pass over what the last one left in the port: the
# host says a number that was never used, and nothing counts until it has been said back.

# The process id of the server of this connection, and of what carries its words.
sub relay {
  # What came already, or came for a server that was gone.
  my ($port, $left) = @_;
  $SIG{PIPE} = 'IGNORE';
  while (1) {
    # PF_UNIX, SOCK_STREAM
    socketpair my $ours, my $theirs, 1, 1, 0 or die "socketpair: $!\n";
    # It takes longer to begin than the host to say its number.
    my $ssh = start(sub { run_ssh($theirs) });
    close $theirs;
    my $nonce = await_sync($port, $left);
    syswrite $port, "BOTTLE synced $nonce\n";
    my $writer = start(sub { carry_out($ours, $port) });
    $left = carry_in($port, $ours);
    kill KILL => $ssh, $writer;
    waitpid $_, 0 for $ssh, $writer;
    close $ours;
  }
}

sub await_sync {
  my ($port, $left) = @_;
  my $line = '';
  while (1) {
    my ($got, $byte) = (1, substr $left, 0, 1, '');
    $got = sysread $port, $byte, 1 if $byte eq '';
    if (!$got) { $line = ''; select undef, undef, undef, 0.005; next; }
    if ($byte ne "\n") { $line = substr $line . $byte, -80; next; }
    return $1 if $line =~ /BOTTLE sync ([0-9a-f]{32})$/;
    $line = '';
  }
}

sub run_ssh {
  my ($socket) = @_;
  open STDIN, '<&', $socket or die "stdin: $!\n";
  open STDOUT, '>&', $socket or die "stdout: $!\n";
  $SIG{PIPE} = 'DEFAULT';
  %ENV = (PATH => '/bottle', HOME => '/root');
  # An empty password will do; no X11 or agent are built in or asked for; a window that a fast host does not wait at.
  exec { '/bottle/dropbear' } 'dropbear', '-i', '-B', '-r', '/etc/dropbear/key', '-W', 1048576, '-K', 0, '-I', 0
    or die "dropbear: $!\n";
}

# Returns what the server did not take.
sub carry_in {
  my ($port, $socket) = @_;
  while (1) {
    my $got = sysread $port, my $bytes, 65536;
    # 0: the host is gone from the other end.
    return '' unless $got;
    write_all($socket, $bytes) or return $bytes;
  }
}

sub carry_out {
  my ($socket, $port) = @_;
  while (sysread $socket, my $bytes, 65536) { write_all($port, $bytes) or last; }
  # The port has no end that could be seen from the other side.
  write_all($port, "\nBOTTLE closed\n");
}

sub write_all {
  my ($to, $bytes) = @_;
  my $at = 0;
  while ($at < length $bytes) {
    my $wrote = syswrite $to, $bytes, length($bytes) - $at, $at;
    return 0 unless defined $wrote;
    $at += $wrote;
  }
  return 1;
}

1;

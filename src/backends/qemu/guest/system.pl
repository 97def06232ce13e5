# System calls of a guest's own programs, by number: nothing besides perl itself is in the initial RAM disk.
# Numbers: the kernel's tables, arch/x86/entry/syscalls/syscall_64.tbl and scripts/syscall.tbl. One that was given
# never changes.

my %NUMBERS = (
  x64 => {
    clock_settime => 227, finit_module => 313, mknodat => 259, mount => 165, personality => 135,
    pidfd_open => 434, reboot => 169, sethostname => 170, setgroups => 116, setresgid => 119, setresuid => 117,
    setrlimit => 160, setsid => 112, sync => 162, umount2 => 166, unshare => 272,
  },
  arm64 => {
    clock_settime => 112, finit_module => 273, mknodat => 33, mount => 40, personality => 92,
    pidfd_open => 434, reboot => 142, sethostname => 161, setgroups => 159, setresgid => 149, setresuid => 147,
    setrlimit => 164, setsid => 157, sync => 81, umount2 => 39, unshare => 97,
  },
);
# The kernel hands words of its command line that it does not know to its first program.
my $numbers = $NUMBERS{$ENV{BOTTLE_ARCH} || 'x64'};

# Of those that can be told from outside; the rest is told by number.
my %ERRORS = (
  1 => 'EPERM', 2 => 'ENOENT', 5 => 'EIO', 7 => 'E2BIG', 8 => 'ENOEXEC', 11 => 'EAGAIN', 12 => 'ENOMEM',
  13 => 'EACCES', 20 => 'ENOTDIR', 21 => 'EISDIR', 22 => 'EINVAL', 26 => 'ETXTBSY', 28 => 'ENOSPC',
  36 => 'ENAMETOOLONG', 40 => 'ELOOP', 97 => 'EAFNOSUPPORT', 98 => 'EADDRINUSE', 99 => 'EADDRNOTAVAIL',
  101 => 'ENETUNREACH', 104 => 'ECONNRESET', 110 => 'ETIMEDOUT', 111 => 'ECONNREFUSED', 113 => 'EHOSTUNREACH',
);

sub error_name {
  my ($number) = @_;
  return $ERRORS{$number} || "errno $number";
}

# Returns false and sets $! when the kernel refuses.
sub call {
  my ($name, @arguments) = @_;
  return syscall($numbers->{$name}, @arguments) != -1;
}

# Of a call that returns one; dies with the error's name.
sub number_of {
  my ($name, @arguments) = @_;
  my $number = syscall($numbers->{$name}, @arguments);
  die error_name($! + 0) . "\n" if $number < 0;
  return $number;
}

sub must {
  my ($name, @arguments) = @_;
  call($name, @arguments) or die "$name: $!\n";
}

sub set_clock {
  my ($seconds, $nanoseconds) = @_;
  # CLOCK_REALTIME
  must('clock_settime', 0, pack 'q q', $seconds, $nanoseconds);
}

# Dies with the error's name. @return what the kernel made of the argument.
sub control {
  my ($handle, $request, $argument) = @_;
  ioctl $handle, $request, $argument or die error_name($! + 0) . "\n";
  return $argument;
}

my %MOUNT_FLAGS = (ro => 1, nosuid => 2, nodev => 4, noexec => 8, remount => 32, noatime => 1024, bind => 4096, move => 8192, private => 1 << 18, rec => 16384);

sub mount_at {
  my ($source, $target, $type, $flags, $data) = @_;
  my $bits = 0;
  $bits |= $MOUNT_FLAGS{$_} for split /,/, $flags || '';
  $data = '' unless defined $data;
  call('mount', "$source", "$target", "$type", $bits, "$data") or die "mount $target: $!\n";
}

sub make_node {
  my ($path, $mode, $major, $minor) = @_;
  must('mknodat', -100, "$path", 0020000 | $mode, ($major << 8) | $minor);
  chmod $mode, $path;
}

sub put {
  my ($path, $content, $mode) = @_;
  open my $file, '>', $path or die "$path: $!\n";
  chmod $mode, $path if defined $mode;
  syswrite $file, $content or length $content == 0 or die "$path: $!\n";
  close $file;
}

# Ends the machine: QEMU is told not to start it again.
sub power_off {
  call('sync');
  call('reboot', 0xfee1dead, 0x28121969, 0x01234567, 0);
  sleep 3600 while 1;
}

# --- JSON, as far as the host writes it. Strings are bytes.

sub from_json {
  local $_ = $_[0];
  pos($_) = 0;
  return value_here();
}

sub value_here {
  /\G\s+/gc;
  return string_here() if /\G"/gc;
  return $1 + 0 if /\G(-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)/gc;
  return 1 if /\Gtrue/gc;
  return undef if /\G(?:false|null)/gc;
  if (/\G\[/gc) {
    my @items;
    until (/\G\s*\]/gc) {
      push @items, value_here();
      /\G\s*,/gc;
    }
    return \@items;
  }
  if (/\G\{/gc) {
    my %fields;
    until (/\G\s*\}/gc) {
      /\G\s*"/gc or die "no JSON\n";
      my $name = string_here();
      /\G\s*:/gc or die "no JSON\n";
      $fields{$name} = value_here();
      /\G\s*,/gc;
    }
    return \%fields;
  }
  die "no JSON\n";
}

sub to_json {
  my ($text) = @_;
  $text =~ s/([\x00-\x1f"\\\x7f-\xff])/sprintf '\\u%04x', ord $1/ge;
  return qq("$text");
}

my %ESCAPES = (b => "\b", f => "\f", n => "\n", r => "\r", t => "\t");

sub string_here {
  my $text = '';
  while (1) {
    if (/\G([^"\\]+)/gc) { $text .= $1; }
    elsif (/\G"/gc) { return $text; }
    elsif (/\G\\u([0-9a-fA-F]{4})/gc) {
      my $character = chr hex $1;
      utf8::encode($character);
      $text .= $character;
    }
    elsif (/\G\\(.)/gcs) { $text .= exists $ESCAPES{$1} ? $ESCAPES{$1} : $1; }
    else { die "no JSON\n"; }
  }
}

1;

# The bottle's disk as the root of a mount namespace of its own: moved over /, so that it is no chroot (in one, programs
# could make no user namespaces) and nothing of the RAM disk lies in any of its folders. What differs from
# bottle to bottle is laid over the disk and never written to it.

my $ROOT = '/image';
my $OWN = "$ROOT/run/bottle";

sub enter_image {
  my ($identity) = @_;
  my @mounts = @{$identity->{mounts} || []};
  find_disks(@mounts ? 2 : 1);
  # CLONE_NEWNS
  must('unshare', 0x20000);
  mount_at('none', '/', '', 'rec,private');
  my $disk = '/dev/vda';
  await_device($disk);
  mount_at($disk, $ROOT, 'ext4', 'noatime', '');
  make_folder("$ROOT$_", 0755) for qw(/proc /sys /dev /run /tmp /etc);
  mount_at('proc', "$ROOT/proc", 'proc', 'nosuid,nodev,noexec');
  mount_at('sysfs', "$ROOT/sys", 'sysfs', 'ro,nosuid,nodev,noexec');
  make_devices("$ROOT/dev");
  mount_at('tmpfs', "$ROOT/run", 'tmpfs', 'nosuid,nodev', 'mode=755');
  mkdir $OWN, 0755;
  bring_tools();
  bring_mounts(@mounts);
  lay_over($_, $identity->{etc}{$_}) for sort keys %{$identity->{etc} || {}};
  chdir $ROOT or die "image: $!\n";
  mount_at('.', '/', '', 'move');
  chroot '.' or die "image: $!\n";
  chdir '/';
  chmod 01777, '/tmp';
  make_account($identity->{user});
}

# The first ones that the machine has.
sub find_disks {
  my ($count) = @_;
  my $driver = '/sys/bus/virtio/drivers/virtio_blk';
  opendir my $folder, '/sys/bus/virtio/devices' or die "no devices: $!\n";
  # VIRTIO_ID_BLOCK
  my @disks = grep { content_of("/sys/bus/virtio/devices/$_/device") =~ /^0x0002$/m }
    sort { substr($a, 6) <=> substr($b, 6) } grep { /^virtio\d+$/ } readdir $folder;
  for my $disk (@disks[0 .. $count - 1]) {
    # A kernel that has the driver built in looked while there was none.
    put("$driver/unbind", $disk) if -e "$driver/$disk";
    put("$driver/bind", $disk);
  }
}

sub await_device {
  my ($path) = @_;
  for (1 .. 1000) {
    return if -b $path;
    select undef, undef, undef, 0.005;
  }
  die "no disk $path\n";
}

sub make_folder {
  my ($path, $mode) = @_;
  # A link could lead to nowhere, or to what is about to be covered.
  unlink $path if -l $path || -e $path && !-d $path;
  -d $path or mkdir $path, $mode or die "$path: $!\n";
}

sub make_devices {
  my ($dev) = @_;
  mount_at('tmpfs', $dev, 'tmpfs', 'nosuid,noexec', 'mode=755,size=64k');
  my @nodes = (['null', 1, 3], ['zero', 1, 5], ['full', 1, 7], ['random', 1, 8], ['urandom', 1, 9], ['tty', 5, 0]);
  make_node("$dev/$_->[0]", 0666, $_->[1], $_->[2]) for @nodes;
  mkdir "$dev/$_", 0755 for qw(pts shm);
  mount_at('devpts', "$dev/pts", 'devpts', 'nosuid,noexec', 'newinstance,ptmxmode=0666,mode=0620,gid=5');
  mount_at('tmpfs', "$dev/shm", 'tmpfs', 'nosuid,nodev', 'mode=1777');
  symlink 'pts/ptmx', "$dev/ptmx";
  symlink '/proc/self/fd', "$dev/fd";
  symlink "/proc/self/fd/$_->[0]", "$dev/$_->[1]" for [0, 'stdin'], [1, 'stdout'], [2, 'stderr'];
}

# For an image that has no tar. Last in PATH, and read-only.
sub bring_tools {
  mkdir "$OWN/bin", 0755;
  put("$OWN/busybox", '', 0755);
  mount_at('/bottle/busybox', "$OWN/busybox", '', 'bind');
  symlink '../busybox', "$OWN/bin/$_" for qw(tar mkdir rm cat);
}

# Copies of the operator's folders and files, on a disk that the machine itself keeps from being written to.
sub bring_mounts {
  my (@places) = @_;
  return unless @places;
  await_device('/dev/vdb');
  mkdir "$OWN/mounts", 0755;
  mount_at('/dev/vdb', "$OWN/mounts", 'ext4', 'ro,nosuid,nodev', '');
  for my $i (0 .. $#places) {
    my $source = "$OWN/mounts/$i";
    my $target = "$ROOT$places[$i]";
    make_parents($places[$i]);
    if (-d $source) { make_folder($target, 0755); }
    else { unlink $target if -l $target; put($target, '', 0644) unless -f $target; }
    mount_at($source, $target, '', 'bind');
    mount_at('none', $target, '', 'remount,bind,ro,nosuid,nodev');
  }
}

# Below the agent's home they are the agent's.
sub make_parents {
  my ($path) = @_;
  my $at = $ROOT;
  my @parts = split m{/}, substr $path, 1;
  pop @parts;
  for my $part (@parts) {
    $at .= "/$part";
    next if -d $at && !-l $at;
    make_folder($at, 0755);
    chown 1000, 1000, $at if index($at, "$ROOT/home/") == 0;
  }
}

# A file of the bottle's own in place of the image's.
sub lay_over {
  my ($path, $content) = @_;
  my $target = "$ROOT$path";
  (my $name = $path) =~ s{/}{-}g;
  put("$OWN/$name", $content, 0644);
  (my $folder = $target) =~ s{/[^/]*$}{};
  make_folder($folder, 0755);
  unlink $target if -l $target;
  put($target, '', 0644) unless -f $target;
  mount_at("$OWN/$name", $target, '', 'bind');
}

sub shell_here {
  return -x '/bin/bash' ? '/bin/bash' : '/bin/sh';
}

# The agent's user, before any other of the same number or name.
sub make_account {
  my ($user) = @_;
  my ($name, $uid, $gid, $home) = @$user{qw(name uid gid home)};
  my $shell = shell_here();
  put_first('/etc/passwd', qr/^\Q$name\E:[^:]*:$uid:$gid:/m, "$name:x:$uid:$gid:$name:$home:$shell\n");
  put_first('/etc/group', qr/^\Q$name\E:[^:]*:$gid:/m, "$name:x:$gid:\n");
  (my $parent = $home) =~ s{/[^/]*$}{};
  mkdir $parent, 0755;
  if (mkdir $home, 0755) { chown $uid, $gid, $home; }
}

# Programs are started by numbers: where an image has something else in that place, they go without a name.
sub put_first {
  my ($path, $known, $line) = @_;
  my $text = content_of($path);
  return if $text =~ $known;
  unlink $path if -l $path && !-e $path;
  eval { put($path, $line . $text, 0644) };
}

sub content_of {
  my ($path) = @_;
  open my $file, '<', $path or return '';
  local $/;
  my $content = <$file>;
  return defined $content ? $content : '';
}

1;

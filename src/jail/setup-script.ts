/**
 * The two shell texts that build a jail. They run before any untrusted code, take every path as an
 * argument (nothing is spliced into them), and stop at the first failure: a jail is whole or it is not.
 *
 * The new root is assembled on /sys: a directory that every Linux has, that no mount source lies in, and
 * that an unprivileged uid may walk to (the operator's own folders it may not).
 */

/** Where the new root is assembled. */
export const ASSEMBLY = "/sys";

/**
 * The first port of a network of one's own that needs no privilege. Whoever listens there from outside, in the
 * guest's stead, comes without any: as another uid than its root.
 */
const LOWEST_PORT = 80;

/** Takes `$words` words off the arguments: options, from and to of each bind. */
const BIND_WORDS = `n=0
while [ "$n" -lt "$words" ]; do
  mount -n -o "$1" -- "$2" "$3"
  shift 3
  n=$((n + 3))
done`;

/**
 * As the host's root, in a mount namespace of its own: binds what only root may reach, then gives up root
 * for good and goes on as the uid in \$1.
 * Arguments: uid, number of bind words, the bind words (options, from, to)..., the next command...
 */
export const BIND_THEN_DROP = `set -eu
uid=$1 words=$2
shift 2
${BIND_WORDS}
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --pdeathsig KILL -- "$@"
`;

/**
 * Process 1 of the jail, uid 0 of a user namespace in which host root does not exist. Raises the loopback, opens its ports,
 * says "held" on fd 3, waits for a line on stdin (no line: whoever asked is gone), mounts, moves into the
 * new root, and hands over to a second user namespace that owns none of this.
 *
 * The numbers in /proc/sys/user count down the whole chain: a limit written here binds the inner namespace too. What the
 * kernel counts of inotify is also the host uid's, which others may share: half of that is left to them.
 *
 * Environment: JAIL_NET own|host; JAIL_TMP_BYTES; JAIL_USERNS; JAIL_HOST; JAIL_UID; JAIL_CWD; JAIL_LIMITS, options
 * of prlimit, or empty; JAIL_DEVICES, names in /dev besides, or empty.
 * Arguments: number of bind words, the bind words..., the command inside...
 */
export const ASSEMBLE_AND_ENTER = `set -eu
ulimit -c 0
if [ "$JAIL_NET" = own ]; then
  ip link set lo up
  echo ${LOWEST_PORT} >/proc/sys/net/ipv4/ip_unprivileged_port_start
fi
echo held >&3
read -r go
exec 3>&-
words=$1
shift
${BIND_WORDS}
mount -n --rbind ${ASSEMBLY} ${ASSEMBLY}
cd ${ASSEMBLY}
echo "$JAIL_USERNS" >/proc/sys/user/max_user_namespaces
for each in instances watches; do
  [ -e "/proc/sys/user/max_inotify_$each" ] || continue
  echo $(($(cat "/proc/sys/fs/inotify/max_user_$each") / 2)) >"/proc/sys/user/max_inotify_$each"
done
mount -n -t proc -o nosuid,nodev,noexec proc proc
for path in proc/sys proc/irq proc/bus proc/fs proc/sysrq-trigger; do
  [ -e "$path" ] && mount -n -o bind,ro,nosuid,nodev,noexec "$path" "$path"
done
for path in proc/kcore proc/keys proc/key-users proc/timer_list proc/sched_debug proc/latency_stats proc/kallsyms; do
  [ -e "$path" ] && mount -n --bind /dev/null "$path"
done
[ -d proc/acpi ] && mount -n -t tmpfs -o ro,nosuid,nodev,noexec,size=0 none proc/acpi
[ -d proc/scsi ] && mount -n -t tmpfs -o ro,nosuid,nodev,noexec,size=0 none proc/scsi
mount -n -t tmpfs -o nosuid,noexec,mode=755,size=64k none dev
mkdir dev/pts dev/shm
for device in null zero full random urandom tty $JAIL_DEVICES; do
  : >"dev/$device"
  mount -n --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
ln -s pts/ptmx dev/ptmx
mount -n -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620 none dev/pts
mount -n -t tmpfs -o "nosuid,nodev,mode=1777,size=$JAIL_TMP_BYTES" none dev/shm
mount -n -t tmpfs -o "nosuid,nodev,mode=1777,size=$JAIL_TMP_BYTES" none tmp
mount -n -o remount,bind,ro,nosuid,noexec dev
if [ -n "$JAIL_HOST" ] && command -v hostname >/dev/null; then hostname "$JAIL_HOST"; fi
uid=$JAIL_UID cwd=$JAIL_CWD limit=\${JAIL_LIMITS:+prlimit $JAIL_LIMITS --}
unset JAIL_NET JAIL_TMP_BYTES JAIL_USERNS JAIL_HOST JAIL_UID JAIL_CWD JAIL_LIMITS JAIL_DEVICES
pivot_root . .
umount -n -l .
cd "$cwd"
exec $limit unshare --user --map-user="$uid" --map-group="$uid" --keep-caps -- \\
  setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all -- "$@"
`;

/**
 * Process 1 of a jail whose program starts others. Orphans are adopted by it, and because it ignores SIGCHLD
 * (a shell cannot: it catches it whatever its trap says) the kernel reaps them. It lives as long as its stdin,
 * which is its maker's. That the program ended is said on stdout: the mere end of stdout would not come, because
 * the set-up's parent outside holds it too. Arguments: the program...
 */
export const REAP = `{ "$@" </dev/null || echo "$1 exited $?" >&2; echo ended; } &
exec env --ignore-signal=CHLD cat >/dev/null 2>&1
`;

/**
 * What puts the system-call filter on a jail's program: bubblewrap, or perl where that is missing (Debian's and
 * most others' git brings it). Node, sh and util-linux 2.38 cannot. Without the filter a guest's sockets are not
 * all its network namespace's: vsock reaches the hypervisor, and the keyring is the operator's.
 */
import type { SeccompArch } from "./syscalls.ts";

export interface FilterLoader {
  readonly kind: "bubblewrap" | "perl";
  readonly path: string;
}

/** prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, …), see prctl(2), and the call's number. */
const PRCTL: Readonly<Record<SeccompArch, number>> = { x64: 157, arm64: 167 };
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;

/**
 * Reads the filter, hands it to the kernel as a `struct sock_fprog`, and becomes the program. Fails closed: a filter
 * that is short, or that the kernel refuses, ends it. Arguments: file descriptor, bytes, the call's number, the program...
 */
const PERL = `my ($fd, $size, $call) = map { $_ + 0 } splice @ARGV, 0, 3;
open my $in, "<&=", $fd or die "filter: $!\\n";
binmode $in;
my $filter = do { local $/; <$in> };
close $in;
die "filter: cut short\\n" unless defined $filter && length $filter == $size;
my $program = pack "S x![Q] P", $size / 8, $filter;
die "filter: $!\\n" if syscall($call, ${PR_SET_SECCOMP}, ${SECCOMP_MODE_FILTER}, $program) != 0;
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\\n";
`;

/** The words before a program's own. `fd` is where the loader reads `filter`, and then its end. */
export function loaderWords(
  loader: FilterLoader,
  { arch, filter, fd }: { readonly arch: SeccompArch; readonly filter: Buffer; readonly fd: number },
): readonly string[] {
  switch (loader.kind) {
    case "bubblewrap":
      // Only the filter is wanted of it: the same root again, in a namespace it must make to be allowed to.
      return [
        ...[loader.path, "--unshare-user", "--dev-bind", "/", "/", "--die-with-parent"],
        ...["--seccomp", String(fd), "--"],
      ];
    case "perl":
      return [loader.path, "-e", PERL, String(fd), String(filter.length), String(PRCTL[arch])];
  }
}

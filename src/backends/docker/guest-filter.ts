/**
 * The system-call filter of a guest on podman. Podman's own lets containers nest: a guest may make user namespaces, in which
 * it has every capability, look into the operator's keyring, do calls by io_uring that no filter sees and, up to its
 * version 4, speak to the hypervisor. Docker's does not. So a guest gets podman's, less these, and less the internet's rarer
 * protocols, which no guest of ours on this kernel is to reach where the filter is ours to write.
 *
 * https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp, in the form in which engines keep it.
 */
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { AF, CLONE_NEW, ERRNO, IP_PROTOCOLS, NETLINK_ROUTE, STRANGE_SOCKETS } from "../../jail/seccomp.ts";
import { messageOf, UserError } from "../../lib/errors.ts";

/** Each of them whole: Docker's needs CAP_SYS_ADMIN for most. `socketcall` is all of 32-bit x86's sockets, behind a pointer. */
const EPERM = [
  ...["unshare", "setns", "mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree"],
  ...["open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"],
  ...["add_key", "keyctl", "request_key", "socketcall"],
];
/** Programs go on without these; what clone3 is asked lies behind a pointer, and they ask clone then. */
const ENOSYS = ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"];

const NEW_NAMESPACES = Array.from({ length: 31 }, (_, bit) => 2 ** bit).filter(
  (flag) => (CLONE_NEW & flag) !== 0,
);
const SOCKETS = ["socket", "socketpair"];

type Comparison = "SCMP_CMP_EQ" | "SCMP_CMP_NE" | "SCMP_CMP_GT" | "SCMP_CMP_MASKED_EQ";
interface Argument {
  readonly index: number;
  readonly op: Comparison;
  readonly value: number;
  /** Of MASKED_EQ, whose `value` is the mask. */
  readonly valueTwo?: number;
}

const allow = (names: readonly string[], ...args: readonly Argument[]) => ({
  names,
  action: "SCMP_ACT_ALLOW",
  args,
});
const refuse = (errno: keyof typeof ERRNO, names: readonly string[], ...args: readonly Argument[]) => ({
  names,
  action: "SCMP_ACT_ERRNO",
  errnoRet: ERRNO[errno],
  args,
});
const argument = (index: number, op: Comparison, value: number, valueTwo?: number): Argument => ({
  ...{ index, op, value },
  ...(valueTwo !== undefined && { valueTwo }),
});

/**
 * Of a family of the internet's. Rules of one call must not overlap, and none may look at an argument twice: so a protocol
 * between those that are allowed is left to the default.
 */
function ofInternet(family: number) {
  const [one, other] = [STRANGE_SOCKETS & -STRANGE_SOCKETS, STRANGE_SOCKETS & (STRANGE_SOCKETS - 1)];
  const its = argument(0, "SCMP_CMP_EQ", family);
  const plain = argument(1, "SCMP_CMP_MASKED_EQ", STRANGE_SOCKETS, 0);
  return [
    ...IP_PROTOCOLS.map((protocol) => allow(SOCKETS, its, plain, argument(2, "SCMP_CMP_EQ", protocol))),
    refuse("EPROTONOSUPPORT", SOCKETS, its, plain, argument(2, "SCMP_CMP_GT", Math.max(...IP_PROTOCOLS))),
    ...[one, other, STRANGE_SOCKETS].map((bits) =>
      refuse("ESOCKTNOSUPPORT", SOCKETS, its, argument(1, "SCMP_CMP_MASKED_EQ", STRANGE_SOCKETS, bits)),
    ),
  ];
}

/** What none of these allows of a call that they name is refused by podman's default, like what it does not know. */
const RULES = [
  refuse("EPERM", EPERM),
  refuse("ENOSYS", ENOSYS),
  allow(["clone"], argument(0, "SCMP_CMP_MASKED_EQ", CLONE_NEW, 0)),
  ...NEW_NAMESPACES.map((flag) => refuse("EPERM", ["clone"], argument(0, "SCMP_CMP_MASKED_EQ", flag, flag))),
  // Other families load modules on demand and know nothing of network namespaces.
  allow(SOCKETS, argument(0, "SCMP_CMP_EQ", AF.UNIX)),
  ...[AF.INET, AF.INET6].flatMap(ofInternet),
  allow(SOCKETS, argument(0, "SCMP_CMP_EQ", AF.NETLINK), argument(2, "SCMP_CMP_EQ", NETLINK_ROUTE)),
  refuse(
    "EPROTONOSUPPORT",
    SOCKETS,
    argument(0, "SCMP_CMP_EQ", AF.NETLINK),
    argument(2, "SCMP_CMP_NE", NETLINK_ROUTE),
  ),
  refuse("EAFNOSUPPORT", SOCKETS, argument(0, "SCMP_CMP_GT", AF.NETLINK)),
];
const OURS = new Set(RULES.flatMap(({ names }) => names));

const profileSchema = z.looseObject({
  // A profile that allows what it does not name has to be read in another way.
  defaultAction: z.literal("SCMP_ACT_ERRNO"),
  syscalls: z.array(z.looseObject({ names: z.array(z.string()) })),
});

/**
 * The same rules, but for the calls that ours decide.
 * @param file podman's own profile, as its `info` names it.
 * @throws UserError when it cannot be read, or is none that refuses what it does not name.
 */
export async function narrowedFilter(file: string): Promise<string> {
  try {
    const profile = profileSchema.parse(JSON.parse(await readFile(file, "utf8")));
    const theirs = profile.syscalls
      .map((rule) => ({ ...rule, names: rule.names.filter((name) => !OURS.has(name)) }))
      .filter(({ names }) => names.length > 0);
    return JSON.stringify({ ...profile, syscalls: [...theirs, ...RULES] });
  } catch (cause) {
    throw new UserError(`cannot take over the engine's system-call filter: ${file}: ${messageOf(cause)}`, {
      hint: "install podman's own again (Debian: golang-github-containers-common), or use docker",
      cause,
    });
  }
}

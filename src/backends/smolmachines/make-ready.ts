/**
 * What a machine lacks before anybody works in it, put right by one command of its root's: our programs, the agent's
 * tools and the operator's files; a user `node`; owners that packing an image has lost. Nothing of it is secret.
 */
import { createWriteStream, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { GUEST } from "../../contract/backend.ts";
import type { PlannedMount } from "../../contract/plan.ts";
import { type PackEntry, packEntries, walk } from "../../lib/archive/pack-tar.ts";
import { codeOf, messageOf, UserError } from "../../lib/errors.ts";
import { packagePath } from "../../lib/package-root.ts";
import { printable } from "../../lib/printable.ts";
import { copyInCommand, execCommand } from "./commands.ts";
import { type Call, must, SLOW_TIMEOUT_MS, type Smolvm } from "./smolvm.ts";

const PROGRAMS = ["guest-channel", "guest-seat", "guest-relay"] as const;
export type GuestProgram = (typeof PROGRAMS)[number];

/** Root's, like everything of ours in there: whatever the agent has become of an earlier life, it cannot be in the way. */
const FOLDER = "/opt/bottle";
const ARCHIVE = `${FOLDER}/incoming.tar`;
const HOSTS = `${FOLDER}/hosts`;

export function programIn(name: GuestProgram): string {
  return `${FOLDER}/programs/${name}.mjs`;
}

/**
 * Arguments: the archive; `first` for a machine in which no agent ever ran; then what was brought besides our programs.
 * Below the home links are the agent's to make: only before its first life is anything in there changed.
 */
const MAKE_READY = `set -eu
archive=$1 hosts=$2 life=$3
shift 3
own=$PATH
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ip link set lo up 2>/dev/null || :
if ! id ${GUEST.user} >/dev/null 2>&1; then
  echo '${GUEST.user}:x:${GUEST.uid}:${GUEST.gid}::${GUEST.home}:/bin/sh' >>/etc/passwd
  echo '${GUEST.user}:x:${GUEST.gid}:' >>/etc/group
fi
who=$(id -u ${GUEST.user}):$(id -g ${GUEST.user})
[ "$who" = ${GUEST.uid}:${GUEST.gid} ] || { echo "its user ${GUEST.user} is $who, and not ${GUEST.uid}:${GUEST.gid}" >&2; exit 64; }
mkdir -p ${GUEST.home} /tmp /var/tmp
if [ "$life" = first ]; then chown -R -h ${GUEST.uid}:${GUEST.gid} ${GUEST.home}; fi
chown ${GUEST.uid}:${GUEST.gid} ${GUEST.home}
chown 0:0 /home /tmp /var/tmp
chmod 1777 /tmp /var/tmp
tar -C / -x -p -o -f "$archive"
rm -f "$archive"
for path in ${FOLDER} "$@"; do chmod -R a+rX,go-w "$path"; done
cat "$hosts" >/etc/hosts
# Whom the image or smolvm names cannot be reached; a program that asks waits for nobody. It may be a link, or mounted there.
if [ -L /etc/resolv.conf ]; then rm -f /etc/resolv.conf; fi
{ echo '# There is no DNS in a bottle; names are resolved by its egress proxy.' >/etc/resolv.conf; } 2>/dev/null || :
node=$(command -v node) || { echo "it has no node" >&2; exit 65; }
runuser=$(command -v runuser) || { echo "it has no runuser (util-linux)" >&2; exit 65; }
shell=/bin/sh
if [ -x /bin/bash ]; then shell=/bin/bash; fi
printf '%s\\n' "$node" "$runuser" "$shell" "$own"
`;

/** Where things are in the guest. */
export interface GuestPlaces {
  readonly node: string;
  readonly runuser: string;
  readonly shell: string;
  readonly path: string;
}

export interface ReadyRequest {
  readonly smolvm: Smolvm;
  readonly call: Call;
  readonly machine: string;
  readonly image: string;
  /** For the archive, for as long as it takes. */
  readonly scratchDir: string;
  readonly firstLife: boolean;
  /** The bottle's id: the guest's own name for itself. */
  readonly hostname: string;
  /** Root's in the guest: read by everybody, written by nobody. */
  readonly brought: readonly PlannedMount[];
  /** Names that lead to where egress listens in their place, if any. */
  readonly directHosts: readonly string[];
  readonly directAddress: string;
}

/** @throws UserError naming what the image lacks. */
export async function makeReady(request: ReadyRequest): Promise<GuestPlaces> {
  const { smolvm, call, machine, brought } = request;
  const archive = join(request.scratchDir, "incoming.tar");
  try {
    const stream = packEntries(entries(request), { owner: { uid: 0, gid: 0 } });
    await pipeline(stream, createWriteStream(archive, { mode: 0o600 })).catch((cause: unknown) => {
      if (codeOf(cause) === undefined) throw cause;
      throw new UserError(`cannot pack what goes into the machine: ${messageOf(cause)}`, { cause });
    });
    const copying = call(copyInCommand(machine, archive, ARCHIVE), { timeoutMs: SLOW_TIMEOUT_MS });
    await must(`copy into ${machine}`, smolvm, copying);
  } finally {
    await rm(archive, { force: true });
  }
  const life = request.firstLife ? "first" : "later";
  const argv = [
    "sh",
    "-c",
    MAKE_READY,
    "ready",
    ARCHIVE,
    HOSTS,
    life,
    ...brought.map(({ to }) => to),
  ] as const;
  const { code, stdout, stderr } = await call(execCommand(machine, argv), { timeoutMs: SLOW_TIMEOUT_MS });
  if (code !== 0) {
    throw new UserError(
      `the image ${request.image} cannot be made ready: ${printable(stderr.trim().split("\n").at(-1) ?? "") || `exit ${code}`}`,
      { hint: "use one of Debian's kind with node, runuser, tar and git in it, such as node:22-bookworm" },
    );
  }
  const [node, runuser, shell, path] = stdout.toString("utf8").split("\n").slice(-5);
  if (![node, runuser, shell].every(isPlainPath) || path === undefined || !/^[\w/.:+-]{1,1000}$/.test(path))
    throw new UserError(`the image ${request.image} does not say where its programs are`);
  return { node: node ?? "", runuser: runuser ?? "", shell: shell ?? "", path };
}

/** They become arguments and environments. */
function isPlainPath(path: string | undefined): boolean {
  return path !== undefined && /^\/[\w/.+-]{1,200}$/.test(path);
}

function* entries(request: ReadyRequest): Generator<PackEntry, void, void> {
  yield { kind: "folder", name: Buffer.from(FOLDER.slice(1)), mode: 0o755 };
  yield { kind: "folder", name: Buffer.from(`${FOLDER.slice(1)}/programs`), mode: 0o755 };
  for (const name of PROGRAMS) {
    const from = Buffer.from(packagePath(`dist/programs/${name}.mjs`));
    yield { kind: "disk", name: Buffer.from(programIn(name).slice(1)), path: from };
  }
  const hosts = [
    `127.0.0.1\tlocalhost ${request.hostname}\n::1\tlocalhost\n`,
    ...request.directHosts.map((host) => `${request.directAddress}\t${host}\n`),
  ];
  yield {
    kind: "content",
    name: Buffer.from(HOSTS.slice(1)),
    content: Buffer.from(hosts.join("")),
    mode: 0o644,
  };
  for (const { from, to } of request.brought)
    yield* walk(Buffer.from(realpathSync(from)), Buffer.from(to.slice(1)));
}

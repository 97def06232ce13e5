/**
 * `_boot-vm`: the process that is a machine. Its guest is real: a process tree in user, mount, pid, ipc and uts
 * namespaces of its own, whose root is the guest's and nobody's on the host; and in a network namespace of its own
 * unless what its release allows is the VMM's whole network.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, lchownSync, mkdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { bindWords } from "../../../src/jail/mounts.ts";
import { REAP } from "../../../src/jail/setup-script.ts";
import { bindsOf, FIRST_UID, makeDisk, UIDS } from "./guest-root.ts";
import { openNetwork } from "./network.ts";
import { GUEST_ADDRESS, reachOf } from "./reach.ts";
import { directoryOf, findRecord } from "./records.ts";
import type { Release } from "./release.ts";

/** As the host's root, in a mount namespace of its own. Arguments: number of bind words, the words, the rest. */
const BIND = `set -eu
words=$1; shift; n=0
while [ "$n" -lt "$words" ]; do mount -n -o "$1" -- "$2" "$3"; shift 3; n=$((n + 3)); done
exec unshare --user --keep-caps -- sh -c "$BECOME_ROOT" vm "$@"
`;
/** In a user namespace that has no users yet: whoever made it gives it some, and says so. */
const BECOME_ROOT = `set -eu
echo unmapped >&3
read -r mapped
exec 3>&-
exec setpriv --reuid 0 --regid 0 --clear-groups --pdeathsig KILL -- \\
  unshare --mount --propagation private --pid --ipc --uts $VM_NET --fork --kill-child=KILL -- sh -c "$ENTER" vm "$@"
`;
const ENTER = `set -eu
mount -n --rbind /sys /sys
cd /sys
if [ -n "$VM_NET" ]; then
  ip link set lo up
  if [ "$VM_ADDRESSES" = all ]; then ip addr add ${GUEST_ADDRESS}/32 dev lo; ip route add local 0.0.0.0/0 dev lo; fi
fi
mount -n -t proc -o nosuid,nodev,noexec proc proc
# As crun leaves it, by which smolvm runs what an image has.
mount -n --bind proc/sys proc/sys
mount -n -o remount,bind,ro,nosuid,nodev,noexec proc/sys
mount -n -t tmpfs -o nosuid,mode=755,size=64k none dev
mkdir dev/pts dev/shm
for device in null zero full random urandom tty; do : >"dev/$device"; mount -n --bind "/dev/$device" "dev/$device"; done
ln -s /proc/self/fd dev/fd; ln -s pts/ptmx dev/ptmx
mount -n -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620 none dev/pts
mount -n -t tmpfs -o nosuid,nodev,mode=1777,size=256m none dev/shm
hostname "$VM_HOST"
pivot_root . .
umount -n -l .
cd /
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh -c "$REAP" init "$@"
`;

export async function bootMachine(release: Release, name: string, agentFile: string): Promise<never> {
  const folder = directoryOf(name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "vmm.pid"), String(process.pid));
  if (release.fails("start")) {
    if (release.has("A.8-orphan")) await new Promise(() => setInterval(() => {}, 1_000));
    process.exit(1);
  }
  const record = findRecord(name);
  const root = join(folder, "rootfs");
  await makeDisk(root, record, name, agentFile);
  const sockets = await Promise.all(record.mount_sockets.map((pair, i) => mountSocket(folder, i, pair)));
  const reach = reachOf(release, record, process.env["SMOLVM_EGRESS_FLOOR"]);

  const agentSocket = join(folder, "agent.sock");
  const listener = createServer();
  // Closing a server removes the path that it was bound to.
  rmSync(`${agentSocket}~`, { force: true });
  await listenAt(listener, `${agentSocket}~`);
  const words = bindWords(bindsOf(root, sockets));
  const guest = spawn(
    "unshare",
    [
      "--mount",
      "--propagation",
      "private",
      "--",
      "sh",
      "-c",
      BIND,
      "vm",
      String(words.length),
      ...words,
      "node",
      "/.smolvm/agent.mjs",
    ],
    {
      stdio: [
        "pipe",
        "inherit",
        "inherit",
        "pipe",
        (listener as unknown as { _handle: { fd: number } })._handle.fd,
      ],
      env: {
        PATH: process.env["PATH"],
        BECOME_ROOT,
        ENTER,
        REAP,
        VM_NET: reach.kind === "shared" ? "" : "--net",
        VM_ADDRESSES: reach.kind === "mirrored" ? "all" : "",
        VM_HOST: name.slice(0, 63),
      },
    },
  );
  const pid = guest.pid ?? 0;
  process.on("SIGTERM", () => guest.kill("SIGKILL"));
  guest.once("exit", () => process.exit(0));
  await new Promise((resolve) => guest.stdio[3]?.once("data", resolve));
  for (const kind of ["uid_map", "gid_map"])
    writeFileSync(`/proc/${pid}/${kind}`, `0 ${FIRST_UID} ${UIDS}\n`);
  guest.stdin?.write("mapped\n");
  if (reach.kind === "mirrored") {
    while (!inOwnNetwork(guest)) await pause(5);
    await openNetwork(pid, reach, agentFile.replace(/agent\.mjs$/, "netport.mjs"));
  }
  // From now on whoever connects is answered by the guest itself.
  renameSync(`${agentSocket}~`, agentSocket);
  await new Promise<void>((resolve) => listener.close(() => resolve()));
  return new Promise(() => {});
}

function inOwnNetwork({ pid }: ChildProcess): boolean {
  return readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync("/proc/self/ns/net");
}

/** Host side of `--mount-socket`: each connection of the guest's is a new one to the host's socket. */
async function mountSocket(
  folder: string,
  index: number,
  pair: string,
): Promise<{ from: string; to: string }> {
  const [host = "", to = ""] = pair.split(":");
  const from = join(folder, `mounted-${index}.sock`);
  rmSync(from, { force: true });
  const server = createServer({ allowHalfOpen: true }, (inner) => {
    const outer = connect({ path: host, allowHalfOpen: true });
    for (const [one, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
      one.pipe(other);
    }
  });
  await listenAt(server, from);
  lchownSync(from, FIRST_UID, FIRST_UID);
  chmodSync(from, 0o600);
  return { from, to };
}

function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
}

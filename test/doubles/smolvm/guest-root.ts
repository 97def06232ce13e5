/**
 * A machine's disk: a folder. What the image does not bring is this host's: /usr is mounted read-only where the image
 * has none. Users 0 to 65535 of the guest are a range of the host's that nobody else has.
 */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Bind } from "../../../src/jail/mounts.ts";
import { makeSkeleton } from "../../../src/jail/skeleton.ts";
import { readPack } from "./pack.ts";
import type { MachineRecord } from "./records.ts";

/** Guest root, seen from the host. */
export const FIRST_UID = 1_600_000_000;
export const UIDS = 65_536;
/** What `pack` makes of every owner below the folders of the image's users (facts 4.2). */
const PACKED_UID = 501;
const NODE_UID = 1000;

const PASSWD = `root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
node:x:1000:1000::/home/node:/bin/bash
`;

/** Makes the disk when there is none yet. */
export async function makeDisk(
  root: string,
  record: MachineRecord,
  hostname: string,
  agent: string,
): Promise<void> {
  if (existsSync(root)) return;
  const beside = `${root}.new`;
  rmSync(beside, { recursive: true, force: true });
  const shell = { name: "node", uid: NODE_UID, home: "/home/node" };
  await makeSkeleton({
    root: beside,
    user: shell,
    hostname,
    etc: {
      passwd: PASSWD,
      group: "root:x:0:\nnogroup:x:65534:\nnode:x:1000:\ntty:x:5:\n",
      hosts: `127.0.0.1\tlocalhost ${hostname}\n`,
      "resolv.conf": "nameserver 1.1.1.1\n",
    },
    binds: [],
  });
  for (const name of [
    "root",
    "home/node",
    "var/tmp",
    "var/log",
    "opt",
    "run",
    "srv",
    "sys",
    "mnt",
    "etc/ssl/certs",
    ".smolvm",
  ])
    mkdirSync(join(beside, name), { recursive: true });
  for (const name of ["/etc/pam.d", "/etc/security", "/etc/login.defs", "/etc/ssl/openssl.cnf"])
    if (existsSync(name)) cpSync(name, join(beside, name), { recursive: true, dereference: true });
  unpackImage(beside, record);
  placeAgent(beside, agent);
  // Repacked by a release that loses owners: whatever was a user's is now a stranger's.
  const owner = record.source.kind === "pack" ? PACKED_UID : NODE_UID;
  giveTo(beside, 0);
  giveTo(join(beside, "home"), owner);
  giveTo(join(beside, "tmp"), record.source.kind === "pack" ? PACKED_UID : 0);
  execFileSync("mv", [beside, root]);
}

/** What has to be mounted over the disk before the guest owns it. */
export function bindsOf(
  root: string,
  sockets: readonly { readonly from: string; readonly to: string }[],
): readonly Bind[] {
  const own = readdirSync(join(root, "usr")).length > 0;
  for (const { to } of sockets) {
    mkdirSync(join(root, dirname(to)), { recursive: true });
    if (!existsSync(join(root, to))) writeFileSync(join(root, to), "");
  }
  return [
    { from: root, to: "/", writable: true },
    ...(own ? [] : [{ from: "/usr", to: "/usr" }]),
    ...sockets.map(({ from, to }) => ({ from, to, writable: true })),
  ];
}

function unpackImage(root: string, { source }: MachineRecord): void {
  switch (source.kind) {
    case "host":
      return;
    case "folder":
      execFileSync("cp", ["-a", `${source.path}/.`, root]);
      return;
    case "pack":
      withTar(readPack(source.path).assets, (folder) => {
        const layers = readdirSync(join(folder, "layers")).sort(
          (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10),
        );
        for (const layer of layers) unpack(join(folder, "layers", layer), root);
      });
      return;
    case "archive":
      withTar(readFileSync(source.path), (folder) => {
        const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as {
          readonly Layers: readonly string[];
        }[];
        for (const layer of manifest[0]?.Layers ?? []) unpack(join(folder, layer), root);
      });
  }
}

/** Without whiteouts: no image of the tests' takes anything away. */
function unpack(layer: string, root: string): void {
  execFileSync("tar", ["-C", root, "-x", "-p", "--numeric-owner", "-f", layer]);
}

function withTar(bytes: Buffer, use: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "smolvm-unpack-"));
  try {
    execFileSync("tar", ["-C", folder, "-x", "-f", "-"], { input: bytes, maxBuffer: 2 ** 31 });
    use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The guest's agent: the same program that a bottle of the `namespace` backend has, run as the guest's root. */
function placeAgent(root: string, agent: string): void {
  cpSync(agent, join(root, ".smolvm/agent.mjs"));
  const require = createRequire(agent);
  for (const name of ["@lydell/node-pty", `@lydell/node-pty-linux-${process.arch}`]) {
    const from = dirname(require.resolve(`${name}/package.json`));
    cpSync(from, join(root, ".smolvm/node_modules", name), { recursive: true });
  }
}

function giveTo(path: string, uid: number): void {
  const stat = lstatSync(path);
  lchownSync(path, FIRST_UID + uid, FIRST_UID + uid);
  if (stat.isDirectory()) for (const name of readdirSync(path)) giveTo(join(path, name), uid);
}

export function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

/**
 * What a guest starts from before it has a disk: perl, an SSH server, our own programs, and the kernel's drivers, taken
 * from this host and put together once. There is no secret in it, nothing of a bottle and nothing of an image.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { packagePath } from "../../lib/package-root.ts";
import { makePrivateDir, writeFileAtomic } from "../../lib/paths.ts";
import { runOk } from "../../lib/processes.ts";
import { packCpio, type RamDiskEntry } from "./cpio.ts";
import { DISK_MODULES, type Kernel, LINK_MODULES, readModule } from "./kernel.ts";
import { madeFrom } from "./made-from.ts";

/** Programs of this host, and where they lie in the RAM disk. */
export const PARTS = [
  { command: "perl", to: "usr/bin/perl", remedy: "apt-get install perl-base" },
  { command: "dropbear", to: "bottle/dropbear", remedy: "apt-get install dropbear-bin" },
  { command: "busybox", to: "bottle/busybox", remedy: "apt-get install busybox-static" },
] as const;

const PROGRAMS_FOLDER = "dist/programs/qemu";
const PROGRAMS = ["init.pl", "system.pl", "image.pl", "relay.pl", "server.pl"] as const;
const FOLDERS = [
  "bottle",
  "bottle/modules",
  "bottle/proc",
  "dev",
  "etc",
  "image",
  "root",
  "sys",
  "usr",
  "usr/bin",
] as const;
const COMMAND_FOLDERS = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];

export function findPart(command: string): string | undefined {
  return COMMAND_FOLDERS.map((folder) => join(folder, command)).find((path) => existsSync(path));
}

/** Builds it, or finds the one that was built from the same parts. @returns its path in the cache. */
export function ramDisk(kernel: Kernel, cache: string): Promise<string> {
  return madeFrom(ramDiskOf(kernel), cache, (from) => build(kernel, cache, from));
}

/** What it is known by: see made-from.ts. */
export function ramDiskOf(kernel: Kernel): readonly string[] {
  // Another installation of this program beside this one has its own programs for guests.
  return ["RAM disk", kernel.modules, packagePath(PROGRAMS_FOLDER)];
}

async function build(kernel: Kernel, cache: string, from: (path: string) => string): Promise<string> {
  const entries = await entriesOf(kernel, from);
  const archive = packCpio(entries);
  const folder = join(cache, "qemu");
  const path = join(folder, `ramdisk-${createHash("sha256").update(archive).digest("hex").slice(0, 32)}`);
  if (!existsSync(path)) {
    await makePrivateDir(folder);
    await writeFileAtomic(path, archive, 0o444);
  }
  return path;
}

/** What tells a program which files its libraries are. */
const LIBRARY_CACHE = "/etc/ld.so.cache";

async function entriesOf(kernel: Kernel, from: (path: string) => string): Promise<readonly RamDiskEntry[]> {
  if (existsSync(LIBRARY_CACHE)) from(LIBRARY_CACHE);
  const files = new Map<string, RamDiskEntry>();
  const add = (path: string, content: Uint8Array, mode = 0o444): void => {
    files.set(path, { kind: "file", path, content, mode });
  };
  for (const name of PROGRAMS) {
    add(`bottle/${name}`, readFileSync(from(packagePath(PROGRAMS_FOLDER, name))), 0o555);
  }
  for (const { command, to } of PARTS) {
    const path = findPart(command);
    if (path === undefined) throw new Error(`this host has no ${command}`);
    add(to, readFileSync(from(path)), 0o755);
    for (const library of await librariesOf(path)) {
      add(library.slice(1), readFileSync(from(realpathSync(library))), 0o755);
    }
  }
  for (const [list, names] of [
    ["first", LINK_MODULES],
    ["then", DISK_MODULES],
  ] as const) {
    const loaded: string[] = [];
    for (const name of names) {
      const bytes = await readModule(kernel, name, from);
      if (bytes === undefined) continue;
      add(`bottle/modules/${name}.ko`, bytes);
      loaded.push(`${name}.ko`);
    }
    add(`bottle/modules/${list}`, Buffer.from(loaded.map((name) => `${name}\n`).join("")));
  }
  const folders = new Set<string>(FOLDERS);
  for (const path of files.keys()) {
    for (let at = dirname(path); at !== "."; at = dirname(at)) folders.add(at);
  }
  return [
    ...[...folders].sort().map((path): RamDiskEntry => ({ kind: "folder", path })),
    { kind: "link", path: "init", target: "bottle/init.pl" },
    ...files.values(),
  ];
}

/** What the loader says that a program of this host needs; nothing for one that is linked statically. */
async function librariesOf(path: string): Promise<readonly string[]> {
  const { stdout } = await runOk(["sh", "-c", 'ldd "$1" 2>/dev/null || :', "ldd", path]);
  return [...stdout.toString().matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, library = ""]) => library);
}

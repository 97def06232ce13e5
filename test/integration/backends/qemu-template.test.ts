/** What machines go on from: shared by all, written by none, and found when its maker was killed. */
import { execFileSync, spawn } from "node:child_process";
import {
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { qemuBackend } from "../../../src/backends/qemu/backend.ts";
import { cachedParts } from "../../../src/backends/qemu/cached-parts.ts";
import { newMemory, saveMemory, templateMemory } from "../../../src/backends/qemu/guest-memory.ts";
import { sweepWorkFolders } from "../../../src/backends/qemu/work-folder.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { sh, startBottle, type TestBottle } from "../../support/bottle-guest.ts";
import { processesOf, processesOfFolder } from "../../support/namespace-host.ts";
import { pidOf } from "../../support/pid-of.ts";
import { VM_CACHE, vmLack } from "../../support/vm-host.ts";

const MEGABYTE = 1024 ** 2;
/** Of machines of a size that no other test has, and so of a template whose memory nobody else brings in or takes out. */
const OWN_BYTES = 452 * MEGABYTE;
const lack = await vmLack();
let folder: string;
let scopes: Scope[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bbm-"));
  scopes = [];
});
afterEach(async () => {
  for (const scope of scopes) await scope.close();
  await removeTree(folder);
});
function newScope(): Scope {
  const scope = createScope();
  scopes.push(scope);
  return scope;
}

/** Everything that whoever has a descriptor can try, one result a line; `private` is what a clone does. */
const TRIES = `import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(f"/proc/self/fd/{sys.argv[1]}", os.O_RDWR)
def tried(name, act):
    try: act(); print(name, "done")
    except OSError as error: print(name, "refused")
def punch():
    if libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(4096)) != 0: raise OSError(ctypes.get_errno(), "punch")
def mapped(flags):
    area = mmap.mmap(fd, 4096, flags, mmap.PROT_READ | mmap.PROT_WRITE)
    area[0:1] = b"!"
tried("write", lambda: os.pwrite(fd, b"!", 0))
tried("punch", punch)
tried("shrink", lambda: os.ftruncate(fd, 4096))
tried("grow", lambda: os.ftruncate(fd, 1 << 24))
tried("shared", lambda: mapped(mmap.MAP_SHARED))
tried("private", lambda: mapped(mmap.MAP_PRIVATE))
print(os.pread(fd, 4, 0).decode())
`;
const tries = (fd: number): readonly string[] =>
  execFileSync("python3", ["-c", TRIES, "3"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit", fd],
  })
    .trim()
    .split("\n");

describe("a template's memory", () => {
  const held = () => join(folder, "held");
  const template = (): string => {
    const path = join(folder, "memory");
    const content = Buffer.alloc(3 * MEGABYTE);
    content.write("head");
    content.write("tail", content.length - 4);
    writeFileSync(path, content, { mode: 0o400 });
    return path;
  };

  it("cannot be changed by who opens it for writing, and can be mapped privately", async () => {
    const memory = await templateMemory(template(), held(), newScope());
    await memory.ready;
    expect(tries(memory.fd)).toEqual([
      ...["write refused", "punch refused", "shrink refused", "grow refused"],
      ...["shared refused", "private done", "head"],
    ]);
    // Control: one that is not sealed is changed by every one of them.
    const open = await newMemory(MEGABYTE, newScope());
    expect(tries(open.fd).filter((line) => line.endsWith("refused"))).toEqual([]);
  });

  it("is all of the file, and comes back as it was, with its holes", async () => {
    const scope = newScope();
    const memory = await templateMemory(template(), held(), scope);
    await memory.ready;
    const again = join(folder, "again");
    await saveMemory(memory, again);
    expect(readFileSync(again).equals(readFileSync(join(folder, "memory")))).toBe(true);
    expect(statSync(again).blocks * 512).toBeLessThan(MEGABYTE / 4);
    const empty = join(folder, "empty");
    await saveMemory(await newMemory(64 * MEGABYTE, scope), empty);
    expect(statSync(empty)).toMatchObject({ size: 64 * MEGABYTE, blocks: 0 });
  });

  it("is the same for all who have it at once, and a new one once nobody has", async () => {
    const path = template();
    const [first, second, third] = [newScope(), newScope(), newScope()];
    const inodeOf = async (scope: Scope): Promise<number> => {
      const memory = await templateMemory(path, held(), scope);
      await memory.ready;
      // Who has it is told in the background.
      await pause(50);
      return fstatSync(memory.fd).ino;
    };
    const inode = await inodeOf(first);
    expect(await inodeOf(second)).toBe(inode);
    await first.close();
    expect(await inodeOf(third)).toBe(inode);
    await second.close();
    await third.close();
    expect(readdirSync(held())).toEqual([]);
    expect(await inodeOf(newScope())).not.toBe(inode);
  });

  it("is not taken from who died, nor from another file of that number", async () => {
    const path = template();
    const memory = await templateMemory(path, held(), newScope());
    await memory.ready;
    await pause(50);
    const [told = ""] = readdirSync(held());
    const [pid, start, fd, name] = told.split(".");
    await removeTree(join(held(), told));
    for (const lie of [`1.${start}.${fd}.${name}`, `${pid}.${start}.0.${name}`, "nonsense"])
      writeFileSync(join(held(), lie), "");
    const other = await templateMemory(path, held(), newScope());
    await other.ready;
    expect(fstatSync(other.fd).ino).not.toBe(fstatSync(memory.fd).ino);
  });

  it("is not there when there is no template", async () => {
    await expect(templateMemory(join(folder, "none"), held(), newScope())).rejects.toThrow(
      "no memory for the guest",
    );
  });
});

describe.skipIf(lack !== undefined)("machines that go on from one template", () => {
  it("share its memory, see nothing of each other, and draw numbers of their own", async () => {
    const bottles: TestBottle[] = [];
    try {
      for (let i = 0; i < 2; i++)
        bottles.push(await startBottle(qemuBackend, { resources: { pids: 64, memoryBytes: OWN_BYTES } }));
      const memories = bottles.map(memoryOf);
      expect(memories[0]).toMatch(/^\d+$/);
      expect(memories[1]).toBe(memories[0]);
      const drawn = await Promise.all(
        bottles.map(({ guest }) =>
          sh(guest, "od -An -N16 -tx1 /dev/urandom; cat /proc/sys/kernel/random/boot_id; uname -n; date +%s"),
        ),
      );
      const [one = [], two = []] = drawn.map((text) => text.split("\n"));
      for (let i = 0; i < 3; i++) expect(one[i]).not.toBe(two[i]);
      for (const seconds of [one[3], two[3]])
        expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(30);
    } finally {
      for (const bottle of bottles) await bottle.close();
    }
  }, 300_000);

  it("are old to pruning once their parts are no longer this host's, and not before", async () => {
    const templates = join(VM_CACHE, "qemu/templates");
    await (await startBottle(qemuBackend)).close();
    const others = [
      join(templates, `${"0".repeat(12)}-${"f".repeat(32)}`),
      join(VM_CACHE, `qemu/ramdisk-${"f".repeat(32)}`),
    ];
    try {
      mkdirSync(others[0] ?? "");
      writeFileSync(join(others[0] ?? "", "memory"), Buffer.alloc(MEGABYTE, 1));
      writeFileSync(others[1] ?? "", "RAM disk of another kernel");
      const isOld = async (): Promise<readonly string[]> =>
        (await cachedParts(VM_CACHE)).flatMap(({ path, isOld }) => (isOld ? [path] : []));
      // Just made: somebody may be about to start from it.
      for (const each of others) expect(await isOld()).not.toContain(each);
      const past = new Date(Date.now() - 3_600_000);
      for (const name of readdirSync(templates)) utimesSync(join(templates, name), past, past);
      utimesSync(others[1] ?? "", past, past);
      expect(await isOld()).toEqual(expect.arrayContaining(others));
      const current = (await cachedParts(VM_CACHE)).filter((part) => !part.isOld).map(({ what }) => what);
      for (const what of ["kernel", "RAM disk", "booted"])
        expect(
          current.filter((each) => each.startsWith(what)),
          what,
        ).not.toEqual([]);
    } finally {
      for (const each of others) await removeTree(each);
    }
  }, 120_000);

  it("leave nothing of one that was being made when its maker was killed", async () => {
    for (const path of ["run", "cache"]) mkdirSync(join(folder, path));
    execFileSync("cp", ["-a", join(VM_CACHE, "kernel"), join(folder, "cache")]);
    const maker = `import { prepareMachine } from ${JSON.stringify(join(import.meta.dirname, "../../../src/backends/qemu/prepare-machine.ts"))};
await prepareMachine({ pids: 64 }, () => {});`;
    const program = join(folder, "maker.mts");
    writeFileSync(program, maker);
    const child = spawn(process.execPath, ["--import", "tsx", program], {
      env: { ...process.env, XDG_RUNTIME_DIR: join(folder, "run"), BOT_BOTTLE_CACHE: join(folder, "cache") },
      stdio: "ignore",
    });
    const run = join(folder, "run/bot-bottle");
    const left = () => execFileSync("find", [folder, "-path", "*/bot-bottle/vm.*"], { encoding: "utf8" });
    for (let i = 0; i < 600 && !left().includes("monitor.sock"); i++) await pause(50);
    expect(left()).toContain("monitor.sock");
    const gone = new Promise((resolve) => child.once("exit", resolve));
    process.kill(pidOf(child), "SIGKILL");
    await gone;
    expect(readdirSync(run)).toHaveLength(1);
    process.env["XDG_RUNTIME_DIR"] = join(folder, "run");
    await sweepWorkFolders();
    expect(readdirSync(run)).toEqual([]);
    for (let i = 0; i < 100 && processesOfFolder(folder).length > 0; i++) await pause(50);
    expect(processesOfFolder(folder)).toEqual([]);
  }, 120_000);
});

/** The inode of what is mapped as the guest's memory. */
function memoryOf(bottle: TestBottle): string {
  const maps = processesOf(bottle).map((pid) => readFileSync(`/proc/${pid}/maps`, "utf8"));
  const [, inode = ""] = /rw-p \S+ \S+ (\d+)\s+\/memfd:bottle-/.exec(maps.join("")) ?? [];
  return inode;
}

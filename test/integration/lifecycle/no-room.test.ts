/**
 * A disk that has no room for the log of a bottle that runs (I8): the bottle is frozen, the operator hears of it in every
 * way there is, and it goes on, with nothing lost, once they have made room and say so.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type BottleCli,
  createBottleCli,
  eventually,
  frontMatter,
  isRoot,
} from "../../support/bottle-cli.ts";
import { type PrivateHost, startPrivateHost } from "../../support/private-host.ts";
import type { Terminal } from "../../support/real-terminal.ts";

/** Says what comes of a request, again and again, and fills its home when it is told to: each refusal is a line of the log. */
const ASKING = `echo mine >~/note
while :; do
  test -e ~/go && rm ~/go && cat /dev/zero >~/fill 2>/dev/null
  curl -s -o /dev/null -w 'answered %{http_code}\\n' http://denied.test/
  sleep 0.1
done`;
/** A bottle needs 64 MiB. */
const DISK_BYTES = 160 * 1024 * 1024;
const TIMEOUT_MS = 90_000;
/** In a mask of signals (proc(5)): SIGSTOP, the nineteenth. */
const STOP = 1n << 18n;

let host: PrivateHost;
let cli: BottleCli;
let terminal: Terminal | undefined;

/** Runs a script in the operator's home, on their own host. */
const there = (script: string, input = ""): string => {
  const [program = "", ...args] = [...host.words("/"), "sh", "-ec", `cd ${cli.home}\n${script}`];
  return execFileSync(program, args, { encoding: "utf8", input, stdio: ["pipe", "pipe", "pipe"] });
};

async function startHost(mount: (home: string) => string, agent: string): Promise<void> {
  host = await startPrivateHost();
  cli = createBottleCli({ words: host.words });
  const [program = "", ...args] = [...host.words("/"), "sh", "-ec", mount(cli.home)];
  execFileSync(program, args);
  // There, and not below what was mounted over it.
  for (const [path, text] of [
    ["bottles", frontMatter({ agent_provider: { template: "command", command: ["sh", "-c", agent] } }, "")],
    ["agents", frontMatter({ bottle: "asking" }, "")],
  ] as const) {
    there(`mkdir -m 700 ${path} && cat >${path}/asking.md && chmod 600 ${path}/asking.md`, text);
  }
}

async function closeHost(): Promise<void> {
  await terminal?.close();
  await host.close();
  await cli.remove();
}

const only = async () => {
  const [row] = (await cli.list()) as readonly ({ readonly trouble?: string } & {
    readonly id: string;
    readonly state: string;
  })[];
  return row;
};
const frozen = (): Promise<{ readonly id: string; readonly trouble?: string }> =>
  eventually("a frozen bottle", async () => {
    const row = await only();
    return row?.state === "frozen" ? row : undefined;
  });
/**
 * Of the agent's shell and what it started. A shell that was told to stop while a child of its vfork(2) has not begun its
 * program waits (D) for as long as that one is stopped, with its own stop to come: it is as good as stopped.
 */
const agentStates = (): readonly string[] =>
  host
    .processes()
    .filter((pid) => /answered|^sleep 0\.1|denied\.test/.test(cli.commandOf(pid)))
    .map((pid) => readFileSync(`/proc/${pid}/status`, "latin1"))
    .map((status) => {
      const state = /^State:\t(.)/m.exec(status)?.[1] ?? "";
      const pending = BigInt(`0x${/^ShdPnd:\t([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`);
      return state === "D" && (pending & STOP) !== 0n ? "T" : state;
    })
    .filter((state) => state !== "Z");
const keeperEnds = (): Promise<true> =>
  eventually("the keeper's end", () =>
    host.processes().some((pid) => /bottle\.js keeper/.test(cli.commandOf(pid))) ? undefined : true,
  );
const events = (id: string): readonly { readonly event: string }[] =>
  there(`cat audit/${id}.jsonl`)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string });

describe.skipIf(!isRoot)("a disk that is full", () => {
  beforeAll(() => startHost((home) => `mount -t tmpfs -o size=96m,mode=700 none ${home}`, ASKING));
  afterAll(closeHost);

  it(
    "I8: freezes the bottle that runs; it says so, decides nothing, and goes on with nothing lost once there is room",
    async () => {
      const shown = cli.terminal(["start", "asking", "--yes"]);
      terminal = shown;
      await shown.shows("answered 403 answered 403");
      // The guest's own doing: its home lies there.
      const { id: running = "" } = (await only()) ?? {};
      await cli.run(["exec", running, "--", "touch", "go"]);
      const { id, trouble } = await frozen();
      expect(trouble).toMatch(/the audit log .* cannot be written: ENOSPC/);
      await shown.shows(`bottle ${id} is frozen`);
      await eventually("that nothing of it runs", () =>
        agentStates().length > 0 && agentStates().every((state) => state === "T") ? true : undefined,
      );

      const refused = await cli.run(["exec", id, "--", "touch", "forbidden"]);
      expect(refused).toMatchObject({ code: 1, stdout: "" });
      expect(refused.stderr).toMatch(/is frozen: .*ENOSPC\nnext: .*bottle thaw/);
      expect((await cli.run(["inbox"])).stderr).toContain("ENOSPC");
      const early = await cli.run(["thaw", id]);
      expect(early.code).toBe(1);
      expect(early.stderr).toMatch(/stays frozen: .* has 0 MiB free, and it needs 16/);

      there(`rm state/${id}/home/fill`);
      expect((await only())?.state).toBe("frozen");
      shown.forget();
      expect(await cli.run(["thaw", id])).toMatchObject({ code: 0 });
      await shown.shows(`bottle ${id} goes on`);
      await shown.shows("answered 403 answered 403");
      expect(await only()).toMatchObject({ id, state: "running", trouble: null });
      expect((await cli.run(["exec", id, "--", "cat", "note"])).stdout).toBe("mine\n");
      expect(there(`ls state/${id}/home`)).not.toContain("forbidden");
      expect((await cli.run(["audit", "verify", id])).code).toBe(0);
      // Before the log is: what is answered meanwhile is on it.
      const answered = there(`cat state/${id}/agent.log`).match(/answered 403/g)?.length ?? 0;
      const names = events(id).map(({ event }) => event);
      expect(names.filter((name) => /^bottle\.(out|has)/.test(name))).toEqual([
        "bottle.out-of-room",
        "bottle.has-room",
      ]);
      expect(names.filter((name) => name === "egress.denied").length).toBeGreaterThanOrEqual(answered);
    },
    TIMEOUT_MS,
  );

  it(
    "is no obstacle to bottle stop: the bottle ends as one that cannot record it, and is resumed with its work",
    async () => {
      const { id = "" } = (await only()) ?? {};
      await cli.run(["exec", id, "--", "touch", "go"]);
      await frozen();
      expect(await cli.run(["stop", id])).toMatchObject({ code: 0 });
      await eventually("its end", async () =>
        ["kept", "crashed"].includes((await only())?.state ?? "") ? true : undefined,
      );
      await keeperEnds();
      there(`rm state/${id}/home/fill`);
      expect((await cli.run(["cleanup", "--yes"])).code).toBe(0);
      expect(await cli.run(["resume", id, "--detach", "--yes"])).toMatchObject({ code: 0 });
      expect((await cli.run(["exec", id, "--", "cat", "note"])).stdout).toBe("mine\n");
      expect((await cli.run(["rm", "--force", id])).code).toBe(0);
    },
    TIMEOUT_MS,
  );
});

const loops = isRoot && existsSync("/dev/loop-control") && existsSync("/sys/fs/ext4");
if (!loops) console.warn("SKIPPED: a disk that becomes read-only: no loop devices or no ext4 here");

describe.skipIf(!loops)("a disk that becomes read-only", () => {
  let folder: string;
  let file: string;
  const mount = (home: string): string =>
    `mount -o loop,errors=remount-ro ${file} ${home} && chmod 700 ${home}`;
  beforeAll(async () => {
    // Not on a disk that another test fills.
    folder = mkdtempSync("/var/tmp/bbr-");
    file = join(folder, "disk");
    writeFileSync(file, "");
    truncateSync(file, DISK_BYTES);
    execFileSync("sh", ["-c", `mkfs.ext4 -q -F ${file}`]);
    // What is on its way to the disk in that very moment is lost with EIO, which no room mends: it is quiet then.
    await startHost(mount, "echo mine >~/note; sleep 600");
  });
  afterAll(async () => {
    await closeHost();
    rmSync(folder, { recursive: true });
  });

  it(
    "I8: freezes the bottle that runs, and stays as it is; stopped, repaired and mounted again it has its work and its log",
    async () => {
      const started = await cli.run(["start", "asking", "--detach", "--yes"]);
      expect(started, started.stderr).toMatchObject({ code: 0 });
      const id = started.stdout.trim();
      await eventually("the note", () => there(`ls state/${id}/home`).includes("note"));
      const [device = ""] = readdirSync("/sys/block").filter((name) => {
        const backing = `/sys/block/${name}/loop/backing_file`;
        return existsSync(backing) && readFileSync(backing, "utf8").trim() === file;
      });
      // As ext4 does when it finds itself damaged.
      there(`echo 1 >/sys/fs/ext4/${basename(device)}/trigger_fs_error`);
      const unrecorded = await cli.run(["exec", id, "--", "true"]);
      expect(unrecorded).toMatchObject({ code: 1 });
      expect(unrecorded.stderr).toContain("EROFS");
      expect((await frozen()).trouble).toMatch(/cannot be written: EROFS/);
      const refused = await cli.run(["thaw", id]);
      expect(refused).toMatchObject({ code: 1 });
      expect(refused.stderr).toMatch(/stays frozen: .*EROFS/);
      expect(await cli.run(["stop", id])).toMatchObject({ code: 0 });
      await keeperEnds();
      const [program = "", ...args] = [...host.words("/"), "sh", "-c"];
      execFileSync(program, [
        ...args,
        `umount ${cli.home} && { e2fsck -fy ${file} >/dev/null; ${mount(cli.home)}; }`,
      ]);
      expect((await cli.run(["cleanup", "--yes"])).code).toBe(0);
      expect(await cli.run(["resume", id, "--detach", "--yes"])).toMatchObject({ code: 0 });
      expect((await cli.run(["exec", id, "--", "cat", "note"])).stdout).toBe("mine\n");
      expect((await cli.run(["rm", "--force", id])).code).toBe(0);
      expect((await cli.run(["audit", "verify", id])).code).toBe(0);
    },
    TIMEOUT_MS,
  );
});

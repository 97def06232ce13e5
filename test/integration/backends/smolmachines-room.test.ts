/** A network for a machine's process alone: who is in it, what is in it, and its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  killMachine,
  type MachinePlace,
  machineProcesses,
} from "../../../src/backends/smolmachines/machine-processes.ts";
import { canOpenRoom, openRoom, type Room, watchOver } from "../../../src/backends/smolmachines/room.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { exited, runOk } from "../../../src/lib/processes.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { isRoot } from "../../support/real-bottle.ts";
import { because } from "../../support/smolvm.ts";
import type { WatchedInput } from "./programs/smolmachines-watched.ts";

const WATCHED = packagePath("test/integration/backends/programs/smolmachines-watched.ts");
const lack =
  process.platform === "linux" && (await canOpenRoom()) ? undefined : "no network namespace can be made here";

if (lack !== undefined) console.warn(`SKIPPED: rooms of machines: ${lack}`);

describe.skipIf(lack !== undefined)(`a room${because(lack)}`, () => {
  let folder = "";
  let scope: Scope;
  let room: Room;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "bbm-"));
    scope = createScope();
    const stop = ["touch", join(folder, "stopped")];
    room = await openRoom(placeIn(folder), stop, { PATH: process.env["PATH"] ?? "" }, scope);
  });
  afterEach(async () => {
    await scope.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function within(): Promise<ChildProcess> {
    const [command = "", ...args] = [...room.enter, "sleep", "600"];
    const child = spawn(command, args, { stdio: "ignore" });
    await new Promise((resolve) => child.once("spawn", resolve));
    for (let i = 0; i < 100; i++) {
      try {
        room.confirm(child.pid ?? 0);
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    return child;
  }

  it("has a loopback and no way out, and knows who is in it", async () => {
    const child = await within();
    expect(() => room.confirm(child.pid ?? 0)).not.toThrow();
    expect(() => room.confirm(process.pid)).toThrow("is not in the network that was made for it");
    child.kill("SIGKILL");
    await exited(child);
  });

  it.skipIf(!isRoot)(
    `is refused when a way leads out of it, and not for an interface without one${because(isRoot ? undefined : "who makes one is root")}`,
    async () => {
      const child = await within();
      const enter = room.enter as [string, ...string[]];
      await runOk([...enter, "ip", "link", "add", "out", "type", "veth", "peer", "name", "other"]);
      expect(() => room.confirm(child.pid ?? 0)).not.toThrow();
      await runOk([...enter, "ip", "addr", "add", "192.0.2.1/24", "dev", "out"]);
      await runOk([...enter, "ip", "link", "set", "out", "up"]);
      expect(() => room.confirm(child.pid ?? 0)).toThrow("has more than a loopback: out");
      child.kill("SIGKILL");
      await exited(child);
    },
  );

  it("is cleared of whoever is left in it", async () => {
    const child = await within();
    const ended = exited(child);
    await room.clear();
    await ended;
    expect(child.signalCode).toBe("SIGKILL");
  });

  it("does not run what stops a machine when it was closed in order", async () => {
    await scope.close();
    expect(existsSync(join(folder, "stopped"))).toBe(false);
  });
});

describe("whoever watches over a machine", () => {
  let folder = "";
  let place: MachinePlace;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "bbm-"));
    place = placeIn(folder);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it.skipIf(lack !== undefined)(
    `in a room stops it, lets it go on for that, and kills what stays, once its keeper died${because(lack)}`,
    async () => {
      await keptUntilKilled({ place, room: true, stop: stopWords() }, (enter) => ({
        machine: begin([...enter, "sleep", "600"]),
        others: [begin(["sleep", "600"])],
      }));
    },
  );

  it("without a room does the same, by the arguments of those who are that machine", async () => {
    const other = placeIn(join(folder, "other"));
    await keptUntilKilled({ place, room: false, stop: stopWords() }, () => ({
      machine: begin(machineWords(place)),
      others: [begin(machineWords(other)), begin(["sleep", "600"])],
    }));
  });

  it("does nothing when all was closed in order", async () => {
    const scope = createScope();
    const machine = begin(machineWords(place));
    await watchOver(place, stopWords(), { PATH: process.env["PATH"] ?? "" }, scope);
    await scope.close();
    expect(existsSync(join(folder, "stopped"))).toBe(false);
    await endAll(machine);
    expect(machine.signalCode).toBe("SIGTERM");
  });

  /** It does not end anything, as smolvm would not whose state is gone. */
  const stopWords = (): readonly string[] => [
    "sh",
    "-c",
    `touch "$1"; exit 1`,
    "stop",
    join(folder, "stopped"),
  ];

  /** @param inside begins what is to be ended, and what is not. */
  async function keptUntilKilled(
    input: WatchedInput,
    inside: (enter: readonly string[]) => { readonly machine: ChildProcess; readonly others: ChildProcess[] },
  ): Promise<void> {
    const keeper = spawn(process.execPath, ["--import", "tsx", WATCHED, JSON.stringify(input)], {
      cwd: packagePath(),
      stdio: ["ignore", "pipe", "inherit"],
    });
    const said = await new Promise<Buffer>((resolve) => keeper.stdout?.once("data", resolve));
    const { machine, others } = inside(JSON.parse(said.toString()) as readonly string[]);
    try {
      await untilRuns(machine, input.room ? "sleep" : process.execPath);
      process.kill(machine.pid ?? 0, "SIGSTOP");
      expect(existsSync(join(folder, "stopped"))).toBe(false);
      keeper.kill("SIGKILL");
      // At the latest when the test's own time is up.
      await exited(machine);
      expect(machine.signalCode).toBe("SIGKILL");
      expect(existsSync(join(folder, "stopped"))).toBe(true);
      for (const { exitCode, signalCode } of others) expect([exitCode, signalCode]).toEqual([null, null]);
    } finally {
      await endAll(keeper, machine, ...others);
    }
  }
});

function placeIn(folder: string): MachinePlace {
  const name = `bot-bottle-t-${randomBytes(4).toString("hex")}`;
  return { name, folder: { path: join(folder, "smolvm"), short: join("/tmp", `bbv-${name}`) } };
}

it.skipIf(!isRoot)(
  `a machine is not who gives himself its arguments, as another user of this host may${because(isRoot ? undefined : "who becomes another user is root")}`,
  async () => {
    const place = placeIn(join(tmpdir(), "bbm-none"));
    const machine = begin(machineWords(place));
    const stranger = begin(["setpriv", "--reuid=61234", "--clear-groups", ...machineWords(place)]);
    try {
      await Promise.all([untilRuns(machine, process.execPath), untilRuns(stranger, process.execPath)]);
      expect(await machineProcesses(place)).toEqual([machine.pid]);
      await killMachine(place);
      await exited(machine);
      expect([stranger.exitCode, stranger.signalCode]).toEqual([null, null]);
    } finally {
      await endAll(machine, stranger);
    }
  },
);

/** As smolvm begins one: by a file in its folder. */
function machineWords({ folder }: MachinePlace): readonly string[] {
  const file = join(folder.short, "cache/smolvm/vms/0/boot-config.json");
  return [process.execPath, "-e", "setInterval(() => {}, 1000)", "_boot-vm", file];
}

function begin([command = "", ...args]: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: "ignore" });
  child.on("error", () => {});
  return child;
}

/** Until it has become the program that it was to be. */
async function untilRuns({ pid }: ChildProcess, program: string): Promise<void> {
  while (!readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(`${program}\0`))
    await new Promise((resolve) => setTimeout(resolve, 20));
}

async function endAll(...children: readonly ChildProcess[]): Promise<void> {
  for (const child of children) {
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    await exited(child);
  }
}

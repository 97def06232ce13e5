/** A bottle whose state directory somebody removed: listed, and found to be removed, by what is still there of it. */
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findGroups } from "../../../src/backends/namespace/limits.ts";
import { stateFolderIn } from "../../../src/backends/smolmachines/state-folder.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { eventually, isAlive } from "../../support/bottle-cli.ts";
import { hasProgram } from "../../support/docker-engine.ts";
import { realPid } from "../../support/pid-of.ts";
import { createRealOperator, IDLE, type RealBottle, type RealOperator } from "../../support/real-bottle.ts";
import { processes } from "../../support/real-host.ts";
import { vmmOf } from "../../support/smolmachines-host.ts";
import { installSmolvm, machineLack } from "../../support/smolvm.ts";
import { vmLack } from "../../support/vm-host.ts";

/** An emulated machine takes its time. */
const START = { timeoutMs: 100_000 };

const machinesLack = await vmLack();
const dockerLack = hasProgram("docker") ? "" : " (there is no docker command)";
const smolvmLack = machineLack();
let operator: RealOperator;
let folder = "";
const path = process.env["PATH"];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bbs-"));
  process.env["PATH"] = `${installSmolvm(folder, "1.9.3")}:${path}`;
  operator = await createRealOperator();
  for (const backend of ["namespace", "qemu", "smolmachines"])
    operator.agent(backend, { agent_provider: IDLE, backend });
});
afterAll(async () => {
  await operator.remove();
  process.env["PATH"] = path;
  rmSync(folder, { recursive: true, force: true });
});

const groupsOf = (id: string): readonly string[] => findGroups((name) => name.includes(id));
const socketsOf = ({ id }: RealBottle): string => join(operator.runtime, "bot-bottle", id);
const stateOf = ({ id }: RealBottle): string => join(operator.home, "state", id);
/** What of a machine of smolvm's has another name than its bottle. */
const shortWayOf = (bottle: RealBottle): string => stateFolderIn(stateOf(bottle)).short;
const machineOf = (bottle: RealBottle): readonly number[] => vmmOf({ stateDir: stateOf(bottle) });
const listed = async (): Promise<unknown> =>
  JSON.parse((await operator.bottle(["list", "--json"])).stdout) as unknown;

/** Started by the agent of that name, and then forgotten by the disk. */
async function lost(backend: string): Promise<RealBottle> {
  const bottle = await operator.start(backend, [], START);
  await removeTree(stateOf(bottle));
  return bottle;
}

/** Whoever ends its machine once its keeper is gone. */
function watchOf({ id }: RealBottle): number | undefined {
  return processes().find((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return words.includes("echo held") && words.includes(`\0bot-bottle-${id}\0`);
    } catch {
      return false;
    }
  });
}

/** Where a link leads may be gone. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

async function kill({ keeper }: RealBottle): Promise<void> {
  process.kill(keeper, "SIGKILL");
  await eventually("the keeper's end", () => (isAlive(keeper) ? undefined : true));
}

describe.each([
  { backend: "namespace", lack: undefined },
  { backend: "qemu", lack: machinesLack },
  { backend: "smolmachines", lack: smolvmLack },
])("a bottle of $backend without its state directory", ({ backend, lack }) => {
  it.skipIf(lack !== undefined)(
    `is left alone while it runs, and found and removed by what there is of it once it was killed${lack === undefined ? "" : ` (${lack})`}`,
    async () => {
      const bottle = await lost(backend);
      const { id } = bottle;
      const groups = groupsOf(id);
      const ways = backend === "smolmachines" ? [shortWayOf(bottle)] : [];
      const row = { id, agent: backend, backend, state: "orphaned", exit: null };
      const runs = `it runs, and its state directory is gone: bottle rm --force ${id} ends it`;
      expect(await listed()).toMatchObject([{ ...row, trouble: runs }]);
      expect((await operator.bottle(["cleanup", "--yes"])).stderr).toContain("nothing was left behind");
      const refused = await operator.bottle(["rm", id]);
      expect(refused).toMatchObject({ code: 1, stdout: "" });
      expect(refused.stderr).toContain(`bottle ${id} is running, without its state directory`);
      expect(isAlive(bottle.keeper)).toBe(true);

      expect(machineOf(bottle).length > 0).toBe(backend === "smolmachines");

      await kill(bottle);
      await eventually("its machine's end", () => (machineOf(bottle).length === 0 ? true : undefined));
      const left = [...groups, ...ways, socketsOf(bottle)];
      const dry = await operator.bottle(["cleanup", "--dry-run", "--json"]);
      const found = JSON.parse(dry.stdout) as { bottle: string; name: string }[];
      expect(found.map(({ name }) => name).sort()).toEqual([...left].sort());
      const parts = [
        ...(groups.length === 0 ? [] : [`${groups.length} cgroups?`]),
        ...ways.map(() => "1 short way"),
        "its sockets",
      ];
      expect(await listed()).toMatchObject([
        {
          ...row,
          trouble: expect.stringMatching(
            `^its state directory is gone, and not ${parts.join(", ")}: bottle cleanup removes`,
          ),
        },
      ]);
      expect((await operator.bottle(["list"])).stdout).toMatch(
        new RegExp(`^${id} .* orphaned \\(its state`, "m"),
      );
      // The last of its processes may be dying still.
      await eventually("its end", async () =>
        (await operator.bottle(["cleanup", "--yes"])).code === 0 ? true : undefined,
      );
      expect(left.filter(isThere)).toEqual([]);
      expect(await listed()).toEqual([]);
    },
    150_000,
  );
});

describe("without a state directory", () => {
  it.skipIf(smolvmLack !== undefined)(
    `a machine that outlived its keeper and who watched over it is found, and ended by force${smolvmLack === undefined ? "" : ` (${smolvmLack})`}`,
    async () => {
      const bottle = await lost("smolmachines");
      const { id, keeper } = bottle;
      process.kill(realPid(watchOf(bottle)), "SIGKILL");
      await kill(bottle);
      expect(machineOf(bottle)).not.toEqual([]);
      expect(await listed()).toMatchObject([
        { id, trouble: expect.stringContaining("and not 1 machine, 1 short way, its sockets: ") },
      ]);
      expect(await operator.bottle(["rm", "--force", id])).toMatchObject({ code: 0, stdout: `${id}\n` });
      expect(isAlive(keeper)).toBe(false);
      await eventually("its machine's end", () => (machineOf(bottle).length === 0 ? true : undefined));
      expect([shortWayOf(bottle), stateOf(bottle), socketsOf(bottle)].filter(isThere)).toEqual([]);
      expect(await listed()).toEqual([]);
    },
    100_000,
  );

  it("one that runs is ended, and leaves nothing, when it is removed by force; what is another home's, or nobody's, stays", async () => {
    const bottle = await lost("namespace");
    const own = [...groupsOf(bottle.id), socketsOf(bottle)];
    // An ordinary user of a host that hands no groups down has none.
    const groups = groupsOf(bottle.id).slice(0, 1).map(dirname);
    const others = [
      ...groups.flatMap((at) =>
        ["bot-bottle-other-abcde.0123456789abcdef", "bot-bottle-older-abcde"].map((name) => join(at, name)),
      ),
      join(operator.runtime, "bot-bottle", "other-abcde"),
    ];
    for (const other of others) mkdirSync(other, { mode: 0o700 });
    try {
      expect(await operator.bottle(["rm", "--force", bottle.id])).toMatchObject({
        code: 0,
        stdout: `${bottle.id}\n`,
      });
      expect(isAlive(bottle.keeper)).toBe(false);
      expect(own.filter((each) => existsSync(each))).toEqual([]);
      expect(await listed()).toEqual([]);
      expect((await operator.bottle(["cleanup", "--yes"])).stderr).toContain("nothing was left behind");
      expect(others.filter((each) => !existsSync(each))).toEqual([]);
    } finally {
      for (const other of others) rmdirSync(other);
    }
  });

  it.skipIf(dockerLack !== "")(
    `the list does not wait for an engine that never answers${dockerLack}`,
    async () => {
      const path = join(mkdtempSync(operator.path("mute-")), "sock");
      const held = new Set<Socket>();
      const mute = createServer((socket) => {
        socket.on("error", () => {});
        held.add(socket);
      });
      await new Promise<void>((resolve) => mute.listen(path, resolve));
      try {
        const env = { DOCKER_HOST: `unix://${path}`, BOT_BOTTLE_ENGINE: "docker" };
        const { code, stdout, stderr } = await operator.bottle(["list", "--json"], { env });
        expect({ code, stdout }).toEqual({ code: 0, stdout: "[]\n" });
        expect(stderr).toContain("what docker has of bottles without a state directory is not known");
        expect(held.size).toBeGreaterThan(0);
      } finally {
        for (const socket of held) socket.destroy();
        await new Promise((resolve) => mute.close(resolve));
      }
    },
  );
});

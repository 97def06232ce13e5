/** A bottle whose state directory somebody removed: listed, and found to be removed, by what is still there of it. */
import { existsSync, mkdirSync, mkdtempSync, rmdirSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findGroups } from "../../../src/backends/namespace/limits.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { eventually, isAlive } from "../../support/bottle-cli.ts";
import { hasProgram } from "../../support/docker-engine.ts";
import { createRealOperator, IDLE, type RealBottle, type RealOperator } from "../../support/real-bottle.ts";
import { vmLack } from "../../support/vm-host.ts";

/** An emulated machine takes its time. */
const START = { timeoutMs: 100_000 };

const machinesLack = await vmLack();
const dockerLack = hasProgram("docker") ? "" : " (there is no docker command)";
let operator: RealOperator;
beforeAll(async () => {
  operator = await createRealOperator();
  for (const backend of ["namespace", "qemu"]) operator.agent(backend, { agent_provider: IDLE, backend });
});
afterAll(() => operator.remove());

const groupsOf = (id: string): readonly string[] => findGroups((name) => name.includes(id));
const socketsOf = ({ id }: RealBottle): string => join(operator.runtime, "bot-bottle", id);
const listed = async (): Promise<unknown> =>
  JSON.parse((await operator.bottle(["list", "--json"])).stdout) as unknown;

/** Started by the agent of that name, and then forgotten by the disk. */
async function lost(backend: string): Promise<RealBottle> {
  const bottle = await operator.start(backend, [], START);
  await removeTree(join(operator.home, "state", bottle.id));
  return bottle;
}

async function kill({ keeper }: RealBottle): Promise<void> {
  process.kill(keeper, "SIGKILL");
  await eventually("the keeper's end", () => (isAlive(keeper) ? undefined : true));
}

describe.each([
  { backend: "namespace", lack: undefined },
  { backend: "qemu", lack: machinesLack },
])("a bottle of $backend without its state directory", ({ backend, lack }) => {
  it.skipIf(lack !== undefined)(
    `is left alone while it runs, and found and removed by what there is of it once it was killed${lack === undefined ? "" : ` (${lack})`}`,
    async () => {
      const bottle = await lost(backend);
      const { id } = bottle;
      const groups = groupsOf(id);
      const row = { id, agent: backend, backend, state: "orphaned", exit: null };
      const runs = `it runs, and its state directory is gone: bottle rm --force ${id} ends it`;
      expect(await listed()).toMatchObject([{ ...row, trouble: runs }]);
      expect((await operator.bottle(["cleanup", "--yes"])).stderr).toContain("nothing was left behind");
      const refused = await operator.bottle(["rm", id]);
      expect(refused).toMatchObject({ code: 1, stdout: "" });
      expect(refused.stderr).toContain(`bottle ${id} is running, without its state directory`);
      expect(isAlive(bottle.keeper)).toBe(true);

      await kill(bottle);
      const left = [...groups, socketsOf(bottle)];
      const dry = await operator.bottle(["cleanup", "--dry-run", "--json"]);
      const found = JSON.parse(dry.stdout) as { bottle: string; name: string }[];
      expect(found.map(({ name }) => name).sort()).toEqual([...left].sort());
      const words = groups.length === 0 ? "its sockets" : `${groups.length} cgroups?, its sockets`;
      expect(await listed()).toMatchObject([
        {
          ...row,
          trouble: expect.stringMatching(
            `^its state directory is gone, and not ${words}: bottle cleanup removes`,
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
      expect(left.filter((each) => existsSync(each))).toEqual([]);
      expect(await listed()).toEqual([]);
    },
    150_000,
  );
});

describe("without a state directory", () => {
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

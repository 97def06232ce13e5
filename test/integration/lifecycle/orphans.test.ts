/** What a bottle left whose state directory is gone too: found by what it says itself. */
import { existsSync, mkdirSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findGroups } from "../../../src/backends/namespace/limits.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { createRealOperator, IDLE, pause, type RealOperator } from "../../support/real-bottle.ts";

let operator: RealOperator;
beforeAll(async () => {
  operator = await createRealOperator();
  operator.agent("idle", { agent_provider: IDLE, backend: "namespace" });
});
afterAll(() => operator.remove());

const groupsOf = (id: string): readonly string[] => findGroups((name) => name.includes(id));

describe("cleanup, without a state directory", () => {
  it("finds a killed bottle's groups of processes, and leaves those of another home alone", async (context) => {
    const bottle = await operator.start("idle");
    const groups = groupsOf(bottle.id);
    const [first] = groups;
    // An ordinary user of a host that hands no groups down has none.
    if (first === undefined) return context.skip("this host hands no groups down");
    process.kill(bottle.keeper, "SIGKILL");
    await removeTree(join(operator.home, "state", bottle.id));
    const others = ["bot-bottle-other-abcde.0123456789abcdef", "bot-bottle-older-abcde"].map((name) =>
      join(dirname(first), name),
    );
    for (const other of others) mkdirSync(other);
    try {
      const { stdout } = await operator.bottle(["cleanup", "--dry-run", "--json"]);
      const found = JSON.parse(stdout) as { name: string }[];
      expect(found.map(({ name }) => name).sort()).toEqual([...groups].sort());
      // The last of its processes may be dying still.
      await pause(200);
      expect((await operator.bottle(["cleanup", "--yes"])).code).toBe(0);
      expect(groupsOf(bottle.id)).toEqual([]);
      expect(others.filter((other) => existsSync(other))).toEqual(others);
    } finally {
      for (const other of others) rmdirSync(other);
    }
  });
});

/** The network of a bundle's container, on a real engine. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBundleNetwork } from "../../../src/bundle/container-network.ts";
import {
  ensureNetwork,
  listNames,
  removeContainer,
  removeNetwork,
  usedSubnets,
} from "../../../src/engine/engine.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { engineLack, startEngine, type TestEngine } from "../../support/docker-engine.ts";
import { because } from "../../support/smolvm.ts";

const lack = engineLack();
if (lack !== undefined) console.warn(`SKIPPED: the network of a bundle's container: ${lack}`);

/** Ids that all lead to the subnet of the first. */
function collidingIds(count: number): readonly string[] {
  const placeOf = (id: string): number => createHash("sha256").update(id).digest().readUInt32BE(0) % 254;
  const ids = ["t-net-00000"];
  const wanted = placeOf(ids[0] ?? "");
  for (let i = 1; ids.length < count; i++) {
    const id = `t-net-${i.toString(36).padStart(5, "0")}`;
    if (placeOf(id) === wanted) ids.push(id);
  }
  return ids;
}

describe.skipIf(lack !== undefined)(`the network of a bundle's container${because(lack)}`, () => {
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await startEngine();
  }, 300_000);
  afterAll(() => engine?.close());

  async function within(use: (scope: Scope) => Promise<void>): Promise<void> {
    const before = await usedSubnets(engine);
    const scope = createScope();
    try {
      await use(scope);
    } finally {
      await scope.close();
    }
    expect(new Set(await usedSubnets(engine))).toEqual(new Set(before));
  }

  it("regression: gives bottles that start in one moment a subnet each, wherever their ids lead", async () => {
    await within(async (scope) => {
      const ids = collidingIds(5);
      const opened = await Promise.all(ids.map((id) => openBundleNetwork(engine, id, scope)));
      expect(new Set(opened.map(({ subnet }) => subnet)).size).toBe(ids.length);
    });
  });

  it("takes the one that the bottle's earlier life left", async () => {
    await within(async (scope) => {
      const [id = ""] = collidingIds(1);
      const first = await openBundleNetwork(engine, id, scope);
      expect(await openBundleNetwork(engine, id, createScope())).toEqual(first);
    });
  });

  it("warns of one that somebody still uses, and undoes all else", async () => {
    await within(async (outer) => {
      const [id = ""] = collidingIds(1);
      const scope = createScope();
      let undone = false;
      scope.defer("what came before", () => {
        undone = true;
      });
      const { name } = await openBundleNetwork(engine, id, scope);
      outer.defer("network", async () => void (await removeNetwork(engine, name)));
      const words = ["run", "--detach", "--rm", "--network", name, engine.base, "sleep", "600"];
      const guest = (await runOk(["docker", ...words], { env: engine.env })).stdout.toString().trim();
      outer.defer("who uses it", () => removeContainer(engine, guest));
      await expect(scope.close()).rejects.toThrow(
        new RegExp(`^undoing network ${name}: Error: network ${name} stays: .*active endpoints`),
      );
      expect(undone).toBe(true);
      expect(await listNames(engine, "network", `bot-bottle.id=${id}`)).toEqual([name]);
    });
  });

  it("takes no network of its name that somebody else made", async () => {
    await within(async (scope) => {
      const [id = ""] = collidingIds(1);
      const name = `bot-bottle-${id}-net`;
      const theirs = { name, subnet: "192.168.7.0/24", gateway: "192.168.7.1", labels: {} };
      expect(await ensureNetwork(engine, theirs)).toBe(true);
      scope.defer("theirs", async () => void (await removeNetwork(engine, name)));
      await expect(openBundleNetwork(engine, id, createScope())).rejects.toThrow("it lacks our label");
    });
  });
});

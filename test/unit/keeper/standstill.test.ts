import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AuditLog } from "../../../src/audit/log.ts";
import type { KeptSidecar } from "../../../src/bundle/bundle.ts";
import type { Guest } from "../../../src/contract/backend.ts";
import { createStandstill, type Standstill } from "../../../src/keeper/standstill.ts";
import { UserError } from "../../../src/lib/errors.ts";

let steps: string[];
let isFrozen: boolean;
let canWrite: boolean;
let refusesToFreeze: boolean;
let refusesToReload: boolean;
let standstill: Standstill;
let earlierHome: string | undefined;

const write = async (event: string): Promise<never> => {
  if (!canWrite) throw new UserError("still none");
  steps.push(event);
  return undefined as never;
};

beforeEach(() => {
  earlierHome = process.env["BOT_BOTTLE_HOME"];
  // Any disk with some room.
  process.env["BOT_BOTTLE_HOME"] = process.cwd();
  [steps, isFrozen, canWrite, refusesToFreeze, refusesToReload] = [[], false, true, false, false];
  const freezer = {
    freeze: async () => {
      steps.push("freeze");
      if (refusesToFreeze) throw new Error("too fast");
    },
    thaw: async () => void steps.push("thaw"),
  };
  const sidecar = (name: string): KeptSidecar =>
    ({
      name,
      refresh: async () => {
        steps.push(`tell ${name}`);
        if (refusesToReload) throw new Error("no");
      },
    }) as KeptSidecar;
  standstill = createStandstill({
    id: "b-00000",
    log: {
      append: write,
      happened: write,
      retry: () => write("retry"),
      giveUp: async () => void steps.push("give up"),
    } as unknown as AuditLog,
    isFrozen: () => isFrozen,
    sidecars: [sidecar("egress"), sidecar("supervise")],
    guest: () => Promise.resolve({ freezer } as unknown as Guest),
    tell: (lack) => void steps.push(lack ?? "goes on"),
    failed: (error) => void steps.push(`failed: ${(error as Error).message}`),
  });
});
afterEach(() => {
  if (earlierHome === undefined) delete process.env["BOT_BOTTLE_HOME"];
  else process.env["BOT_BOTTLE_HOME"] = earlierHome;
});

const settled = async (): Promise<readonly string[]> => {
  await standstill.apply();
  return steps.splice(0);
};

describe("a bottle without room to record", () => {
  it("has its guest stopped first and once, however many find no room, and is told of once", async () => {
    standstill.begin();
    standstill.lacks(new Error("full"));
    standstill.lacks(new Error("full again"));
    expect(await settled()).toEqual([
      "bottle.out-of-room",
      "bottle b-00000 is frozen: full",
      "freeze",
      "tell egress",
      "tell egress",
    ]);
    expect(standstill.lack).toMatchObject({ hint: expect.stringContaining("bottle thaw b-00000") });
  });

  it("goes on once it can be recorded that it does, and not before", async () => {
    standstill.begin();
    standstill.lacks(new Error("full"));
    await settled();
    canWrite = false;
    await expect(standstill.restore("me")).rejects.toThrow("stays frozen: still none");
    expect(standstill.lack).toBeDefined();
    canWrite = true;
    await standstill.restore("me");
    expect(steps).toEqual(["retry", "bottle.has-room", "tell egress", "thaw", "goes on"]);
    expect(standstill.lack).toBeUndefined();
    await standstill.restore("me");
    expect(steps).toHaveLength(5);
  });

  it("stays frozen by decision when there is room again", async () => {
    standstill.begin();
    isFrozen = true;
    standstill.lacks(new Error("full"));
    await settled();
    await standstill.restore("me");
    expect(steps).not.toContain("thaw");
  });

  it("is undone where it is still being launched: nothing of it is told or kept", () => {
    standstill.lacks(new Error("full"));
    expect(steps).toEqual(["failed: full"]);
    expect(standstill.lack).toBeUndefined();
  });

  it("is ended when its guest cannot be stopped, and not when a sidecar will not hear of it", async () => {
    standstill.begin();
    refusesToReload = true;
    standstill.lacks(new Error("full"));
    await expect(standstill.apply()).rejects.toThrow("no");
    expect(steps.filter((step) => step.startsWith("failed"))).toEqual([]);
    refusesToReload = false;
    await standstill.restore("me");
    refusesToFreeze = true;
    standstill.lacks(new Error("full"));
    await expect(standstill.apply()).rejects.toThrow("too fast");
    expect(steps).toContain("failed: too fast");
  });

  it("has let go what could not be stopped as a whole, when it is to go on", async () => {
    standstill.begin();
    [isFrozen, refusesToFreeze] = [true, true];
    await expect(standstill.apply()).rejects.toThrow("too fast");
    isFrozen = false;
    expect(await settled()).toEqual(["tell egress", "freeze", "tell egress", "thaw"]);
    expect(await settled()).toEqual(["tell egress"]);
  });

  it("is let go when it ends, and from then on nothing holds it up", async () => {
    standstill.begin();
    standstill.lacks(new Error("full"));
    await settled();
    await standstill.end();
    standstill.lacks(new Error("full again"));
    expect(steps).toEqual(["give up", "thaw"]);
  });
});

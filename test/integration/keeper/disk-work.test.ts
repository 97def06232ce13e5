/** What a copy of a bottle knows of its disk, whatever is done to the bottle while that is copied. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import {
  type BottleRecord,
  bottlePaths,
  readRecord,
  writeRecord,
} from "../../../src/keeper/bottle-record.ts";
import { forkBottle } from "../../../src/keeper/disk-work.ts";
import { makeTemporaryDir } from "../../../src/lib/paths.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { openInboxBottle } from "../../support/inbox-bottle.ts";

const ID = "b-00000";
const LATER = "/home/node/.claude/skills/later";

let root: string;
beforeEach(() => {
  root = makeTemporaryDir("bbd-");
  vi.stubEnv("BOT_BOTTLE_HOME", join(root, "h"));
  vi.stubEnv("XDG_RUNTIME_DIR", join(root, "r"));
  for (const folder of ["h/audit", "r", "image"])
    mkdirSync(join(root, folder), { recursive: true, mode: 0o700 });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await removeTree(root);
});

const RECORD: BottleRecord = {
  ...{ version: 1, id: ID, startedAt: new Date(0).toISOString() },
  plan: { agent: { name: "worker" }, backend: "qemu" } as BottlePlan,
};
/** As a launch does before it puts something into the guest. */
const putIn = (): Promise<void> => writeRecord(bottlePaths(ID), { ...RECORD, attempted: [LATER] });
async function attemptedOf([id = "none"]: readonly string[]): Promise<readonly string[] | undefined> {
  return (await readRecord(bottlePaths(id))).attempted;
}

describe("a copy of a bottle names what was put into it before its disk was copied", () => {
  it("where it runs", async () => {
    const copyDisk = putIn;
    const bottle = await openInboxBottle({ home: join(root, "h"), runtime: join(root, "r") }, ID, {
      copyDisk,
    });
    await writeRecord(bottlePaths(ID), RECORD);
    expect(await attemptedOf(await forkBottle(ID, 1))).toEqual([LATER]);
    await bottle.end();
  });

  it("where it does not", async () => {
    const { state } = bottlePaths(ID);
    mkdirSync(state, { recursive: true, mode: 0o700 });
    await writeRecord(bottlePaths(ID), RECORD);
    writeFileSync(join(state, "guest.qcow2"), "changes");
    // What the disk stands on is read first, and nothing is copied until it is told.
    const says = join(state, "disk.json");
    const disk = join(root, "image/disk");
    writeFileSync(disk, "");
    execFileSync("mkfifo", [says]);
    const copies = forkBottle(ID, 1);
    copies.catch(() => {});
    // Open once somebody reads.
    const pipe = await open(says, "w");
    await putIn();
    await pipe.writeFile(JSON.stringify({ image: { disk } }));
    await pipe.close();
    expect(await attemptedOf(await copies)).toEqual([LATER]);
  });
});

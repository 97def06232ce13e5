import { mkdirSync } from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { markPulled } from "../../../src/cli/commands/pull.ts";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import { type BottlePaths, bottlePaths, readRecord, writeRecord } from "../../../src/keeper/bottle-record.ts";
import { homeOf } from "../../../src/lib/paths.ts";
import { gitIdentityFile } from "../../../src/provision/git-identity.ts";
import { writeGuestFiles } from "../../../src/provision/transfer.ts";
import { exportWork } from "../../../src/provision/workspace/export.ts";
import { importWorkspace } from "../../../src/provision/workspace/import.ts";
import { pullWork } from "../../../src/provision/workspace/pull.ts";
import { type BaseSnapshot, snapshotBase } from "../../../src/provision/workspace/snapshot.ts";
import { createLocalGuest, type LocalGuest } from "../../support/local-guest.ts";
import { createOperator, type Operator } from "../../support/operator.ts";

const ID = "agent-abcde";

let operator: Operator;
let guest: LocalGuest;
let paths: BottlePaths;
let base: BaseSnapshot;

beforeEach(async () => {
  operator = createOperator();
  guest = createLocalGuest();
  paths = bottlePaths(ID, homeOf({ BOT_BOTTLE_HOME: operator.path("bottles") }));
  mkdirSync(paths.state, { recursive: true });
  await writeGuestFiles(guest.exec, [gitIdentityFile({ name: "Agent", email: "agent@example.com" })]);
  operator.repository("repo");
  const options = { scratchDir: paths.state, progress: () => {} };
  base = await snapshotBase(guest, await importWorkspace(guest, operator.path("repo"), options));
  await writeRecord(paths, {
    ...{ version: 1, id: ID, startedAt: "", ended: { at: "", exit: "exit 0" }, work: "exported" },
    plan: {} as BottlePlan,
  });
});

afterEach(async () => {
  await guest.remove();
  operator.remove();
});

const takeOut = () => exportWork(guest, base, paths.work, { id: ID });
const fetched = () => pullWork(paths.work, ID, operator.path("repo"));
const marked = async (): Promise<string | undefined> => {
  await markPulled(paths, ID, operator.path("repo"));
  return (await readRecord(paths)).work;
};

// `bottle rm` asks before it removes work that was not pulled, and only then.
it("notes a bottle's work as pulled when all of it was", async () => {
  await guest.sh("echo more > more");
  await takeOut();
  await fetched();
  expect(await marked()).toBe("pulled");
});

it("regression: does not while there is some that could not be taken out", async () => {
  await guest.sh("echo more > more; mkdir shut; echo x > shut/f; chmod 000 shut");
  await takeOut();
  await fetched();
  expect(await marked()).toBe("exported");
});

it("regression: does not when the bottle ended meanwhile, with more than was fetched", async () => {
  await guest.sh("echo more > more");
  await takeOut();
  await fetched();
  await guest.sh("echo last > last");
  await takeOut();
  expect(await marked()).toBe("exported");
});

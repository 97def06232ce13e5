/** Starts a bottle on a host that is somehow unusual, and reports what came of it and what is left. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { namespaceBackend } from "../../../../src/backends/namespace/backend.ts";
import type { Availability } from "../../../../src/contract/backend.ts";
import { messageOf } from "../../../../src/lib/errors.ts";
import { runOk } from "../../../../src/lib/processes.ts";
import { removeTree } from "../../../../src/lib/remove-tree.ts";
import { sh, startBottle, type TestBottle, temporaryFolder } from "../../../support/bottle-guest.ts";
import { outerArguments } from "../../../support/outer-network.ts";

export interface StartInput {
  /** Runs in the guest. */
  readonly shell: string;
  /** The state directory is a file system of its own, mounted with these options. */
  readonly stateMount?: string;
  /** Goes wrong while the guest starts: its set-up is killed. */
  readonly killSetUp?: boolean;
}

export interface StartReport {
  readonly availability: Availability;
  readonly said?: string;
  readonly error?: string;
  /** Processes, groups and files that are there afterwards and were not before. */
  readonly left: readonly string[];
}

const { resultFile, input } = outerArguments<StartInput>();
const folder = await temporaryFolder();
const state = join(folder, "state");
mkdirSync(state);
if (input.stateMount !== undefined) {
  await runOk(["mount", "-n", "-t", "tmpfs", "-o", `${input.stateMount},mode=700`, "tmpfs", state]);
}
const id = `t-${randomBytes(3).toString("hex")}`;
let outcome: { said: string } | { error: string };
let started: TestBottle | undefined;
try {
  const bottle = startBottle(namespaceBackend, { id, folder, services: ["egress"] });
  if (input.killSetUp) await killChildren();
  started = await bottle;
  const { guest, link } = started;
  const listen = link.endpoints.egress?.listen;
  if (listen?.kind === "inherited") for (const listener of (await listen.open()).values()) listener.close();
  outcome = { said: await sh(guest, input.shell) };
} catch (reason) {
  outcome = { error: messageOf(reason) };
}
await started?.scope.close();
const report: StartReport = {
  availability: await namespaceBackend.probe(),
  ...outcome,
  left: [
    ...children().map(commandOf).filter(isOurs),
    ...(await namespaceBackend.enumerate()).filter(({ bottle }) => bottle === id).map(({ name }) => name),
    ...readdirSync(state).filter((name) => name !== "home"),
    ...readdirSync(join(folder, "run")),
  ],
};
if (input.stateMount !== undefined) await runOk(["umount", "-n", "-l", state]);
await removeTree(folder);
writeFileSync(resultFile, JSON.stringify(report));
process.exit(0);

function children(): readonly number[] {
  return readdirSync("/proc/self/task").flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "utf8")
      .split(" ")
      .filter((pid) => pid !== "")
      .map(Number),
  );
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

/** tsx has a helper process of its own. */
function isOurs(command: string): boolean {
  return command !== "" && !command.includes("esbuild");
}

/** As soon as there is something to kill. */
async function killChildren(): Promise<void> {
  for (;;) {
    const ours = children().filter((pid) => /unshare|setpriv/.test(commandOf(pid)));
    for (const pid of ours) process.kill(pid, "SIGKILL");
    if (ours.length > 0) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

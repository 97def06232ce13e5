/** I9: whatever dies, nothing of a bottle is left running, and nothing of its link open. */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { namespaceBackend } from "../../../src/backends/namespace/backend.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { exited } from "../../../src/lib/processes.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { temporaryFolder } from "../../support/bottle-guest.ts";
import { processesOfFolder } from "../../support/namespace-host.ts";
import type { KeeperStage, KeeperWord } from "./programs/keeper.ts";

let folder: string;
let keeper: ChildProcess | undefined;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(async () => {
  keeper?.kill("SIGKILL");
  await removeTree(folder);
});

/** Resolves once it has come to `stage`. */
async function startKeeper(stage: KeeperStage): Promise<{ keeper: ChildProcess; word: KeeperWord }> {
  const program = packagePath("test/escape/namespace/programs/keeper.ts");
  const child = spawn(process.execPath, ["--import", "tsx", program, stage, folder], {
    cwd: packagePath(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  keeper = child;
  let said = "";
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.includes("\n")) return { keeper: child, word: JSON.parse(said) as KeeperWord };
  }
  throw new Error(`the keeper ended at once: ${said}`);
}

async function eventuallyNone(list: () => readonly number[]): Promise<readonly number[]> {
  for (let attempt = 0; attempt < 200 && list().length > 0; attempt++) await pause(20);
  return list();
}

describe("I9: a killed keeper", () => {
  it.each(["reserved", "entering", "running"] as const)(
    "takes a guest that is %s with it, processes that do not want to end and all",
    async (stage) => {
      const { keeper, word } = await startKeeper(stage);
      // Its mounts tell, so one that is only reserved has just its set-up's.
      if (stage === "running") expect(processesOfFolder(folder).length).toBeGreaterThan(4);
      const descendants = stage === "reserved" ? await childrenOf(keeper.pid ?? -1) : [];
      keeper.kill("SIGKILL");
      await exited(keeper);
      expect(
        await eventuallyNone(() => [...processesOfFolder(folder), ...descendants.filter(lives)]),
      ).toEqual([]);

      // What a kernel group is left is found by its name, and removed.
      const left = (await namespaceBackend.enumerate()).filter(({ bottle }) => bottle === word.id);
      for (const resource of left) await namespaceBackend.remove(resource);
      expect((await namespaceBackend.enumerate()).filter(({ bottle }) => bottle === word.id)).toEqual([]);
    },
  );

  it("leaves its running guest no link: whoever held the listener held it alone, and a new one can take over", async () => {
    const { word } = await startKeeper("holder");
    expect(word.link).toEqual(["heard holder", "ECONNREFUSED", "heard holder", "ECONNREFUSED"]);
    keeper?.kill("SIGKILL");
    for (const { name, ...resource } of await namespaceBackend.enumerate()) {
      if (resource.bottle !== word.id) continue;
      await eventuallyNone(() => processesOfFolder(folder));
      await namespaceBackend.remove({ name, ...resource });
    }
  });
});

async function childrenOf(pid: number): Promise<readonly number[]> {
  const { readFileSync } = await import("node:fs");
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
  // tsx has a helper of its own, which ends by itself.
  return children.filter((child) => readFileSync(`/proc/${child}/cmdline`, "utf8").includes("unshare"));
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

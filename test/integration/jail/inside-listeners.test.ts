/** I9: the program that makes a guest's listeners outlives nobody who was to take them. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { exited } from "../../../src/lib/processes.ts";
import { eventually, isAlive, isRoot, killIfThere } from "../../support/bottle-cli.ts";
import { pidOf } from "../../support/pid-of.ts";

const DEAF_KEEPER = packagePath("test/integration/jail/programs/deaf-keeper.ts");

let keeper: ChildProcess;
let program = 0;
afterEach(async () => {
  keeper.kill("SIGKILL");
  await exited(keeper);
  if (program > 1) killIfThere(program);
});

/** In a network of its own. Returns once the program has listened, and waits to be rid of what it has. */
async function startDeaf(): Promise<void> {
  const alone = ["unshare", ...(isRoot ? [] : ["--user", "--map-root-user"]), "--net", "--"];
  const script = 'ip link set lo up && exec "$@"';
  const [command = "", ...args] = [
    ...alone,
    "sh",
    "-c",
    script,
    "sh",
    process.execPath,
    "--import",
    "tsx",
    DEAF_KEEPER,
  ];
  keeper = spawn(command, args, { cwd: packagePath(), stdio: ["ignore", "ignore", "inherit"] });
  program = await eventually("its listener", () => childrenOf(pidOf(keeper)).find(listens));
}

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
}

function listens(pid: number): boolean {
  try {
    const listening = readFileSync(`/proc/${pid}/net/tcp`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A")
      .map((fields) => `socket:[${fields[9]}]`);
    return readdirSync(`/proc/${pid}/fd`).some((fd) =>
      listening.includes(readlinkSync(`/proc/${pid}/fd/${fd}`)),
    );
  } catch {
    // It came and went.
    return false;
  }
}

describe("who makes a guest's listeners", () => {
  it("regression: is gone when the keeper that has not taken them is killed", async () => {
    await startDeaf();
    keeper.kill("SIGKILL");
    await eventually("its end", () => (isAlive(program) ? undefined : true));
  });

  it("does not wait for ever for a keeper that lives and never takes them", async () => {
    await startDeaf();
    await eventually("its end", () => (isAlive(program) ? undefined : true));
    expect(isAlive(pidOf(keeper))).toBe(true);
  });
});

/** A network for a machine's process alone: who is in it, what is in it, and its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { canOpenRoom, openRoom, type Room, watchOver } from "../../../src/backends/smolmachines/room.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { exited, runOk } from "../../../src/lib/processes.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { isRoot } from "../../support/real-bottle.ts";
import { because } from "../../support/smolvm.ts";

const WATCHED = packagePath("test/integration/backends/programs/smolmachines-watched.ts");
const lack =
  process.platform === "linux" && (await canOpenRoom()) ? undefined : "no network namespace can be made here";

if (lack !== undefined) console.warn(`SKIPPED: rooms of machines: ${lack}`);

describe.skipIf(lack !== undefined)(`a room${because(lack)}`, () => {
  let folder = "";
  let scope: Scope;
  let room: Room;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "bbm-"));
    scope = createScope();
    room = await openRoom(["touch", join(folder, "stopped")], { PATH: process.env["PATH"] ?? "" }, scope);
  });
  afterEach(async () => {
    await scope.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function within(): Promise<ChildProcess> {
    const [command = "", ...args] = [...room.enter, "sleep", "600"];
    const child = spawn(command, args, { stdio: "ignore" });
    await new Promise((resolve) => child.once("spawn", resolve));
    for (let i = 0; i < 100; i++) {
      try {
        room.confirm(child.pid ?? 0);
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    return child;
  }

  it("has a loopback and no way out, and knows who is in it", async () => {
    const child = await within();
    expect(() => room.confirm(child.pid ?? 0)).not.toThrow();
    expect(() => room.confirm(process.pid)).toThrow("is not in the network that was made for it");
    child.kill("SIGKILL");
    await exited(child);
  });

  it.skipIf(!isRoot)(
    `is refused when a way leads out of it, and not for an interface without one${because(isRoot ? undefined : "who makes one is root")}`,
    async () => {
      const child = await within();
      const enter = room.enter as [string, ...string[]];
      await runOk([...enter, "ip", "link", "add", "out", "type", "veth", "peer", "name", "other"]);
      expect(() => room.confirm(child.pid ?? 0)).not.toThrow();
      await runOk([...enter, "ip", "addr", "add", "192.0.2.1/24", "dev", "out"]);
      await runOk([...enter, "ip", "link", "set", "out", "up"]);
      expect(() => room.confirm(child.pid ?? 0)).toThrow("has more than a loopback: out");
      child.kill("SIGKILL");
      await exited(child);
    },
  );

  it("is cleared of whoever is left in it", async () => {
    const child = await within();
    const ended = exited(child);
    await room.clear();
    await ended;
    expect(child.signalCode).toBe("SIGKILL");
  });

  it("does not run what stops a machine when it was closed in order", async () => {
    await scope.close();
    expect(existsSync(join(folder, "stopped"))).toBe(false);
  });
});

describe("where there is no room", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "bbm-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("a machine is stopped by what outlives its keeper, however that one dies", async () => {
    const stopped = join(folder, "stopped");
    const keeper = spawn(process.execPath, ["--import", "tsx", WATCHED, stopped], {
      cwd: packagePath(),
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => keeper.stdout?.once("data", resolve));
    expect(existsSync(stopped)).toBe(false);
    keeper.kill("SIGKILL");
    await exited(keeper);
    // At the latest when the test's own time is up.
    while (!existsSync(stopped)) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  it("nothing stops it when all was closed in order", async () => {
    const scope = createScope();
    await watchOver(["touch", join(folder, "stopped")], { PATH: process.env["PATH"] ?? "" }, scope);
    await scope.close();
    expect(existsSync(join(folder, "stopped"))).toBe(false);
  });
});

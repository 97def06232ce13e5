/** A guest cannot type on the operator's terminal, with which it would run commands as the operator. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "@lydell/node-pty";
import { describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { programFile } from "../../support/outer-network.ts";
import type { TerminalReport } from "./programs/operator-terminal.ts";

const LEGACY = "/proc/sys/dev/tty/legacy_tiocsti";
const perl = programFile("perl");

/** Where the kernel itself forbids it to everybody, there is nothing to attack. */
function reasonToSkip(): string | undefined {
  if (perl === undefined) return "perl is not installed";
  if (existsSync(LEGACY) && readFileSync(LEGACY, "utf8").trim() === "0" && process.getuid?.() !== 0)
    return "this kernel lets nobody type for another";
  return undefined;
}

describe("a guest started from a terminal", () => {
  it("types nothing there, neither from an exec nor from a terminal of its own", async (ctx) => {
    const reason = reasonToSkip();
    if (reason !== undefined) {
      console.warn(`SKIPPED, typing for the operator was not tried: ${reason}`);
      ctx.skip(reason);
    }
    const folder = mkdtempSync(join(tmpdir(), "bbt-"));
    const resultFile = join(folder, "result.json");
    const program = packagePath("test/escape/namespace/programs/operator-terminal.ts");
    const operator = spawn(process.execPath, ["--import", "tsx", program, resultFile, perl ?? ""], {
      cwd: packagePath(),
    });
    let shown = "";
    operator.onData((data) => {
      shown += data;
    });
    await new Promise((resolve) => operator.onExit(resolve));
    if (!existsSync(resultFile)) throw new Error(`it reported nothing: ${shown}`);
    const report = JSON.parse(readFileSync(resultFile, "utf8")) as TerminalReport;
    rmSync(folder, { recursive: true });

    expect(report.control).toBe("control");
    expect(report.guest).toBe("");
    expect(report.devices.operator).not.toBe("");
    expect(report.devices.guest).not.toBe(report.devices.operator);
  });
});

/** Bytes in and out of a program: exactly, in any amount, and with the ends where they belong. */
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Guest } from "../../../../src/contract/backend.ts";
import { bytesOf, finish, runIn } from "../../../support/bottle-guest.ts";

const TEN_MEGABYTES = 10 * 1024 * 1024;

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function testStreams(guest: () => Guest): void {
  it("carries every byte there is, unchanged", async () => {
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256));
    const { stdout } = await runIn(guest(), ["cat"], { stdin: bytes });
    expect(stdout.equals(bytes)).toBe(true);
  });

  it("carries ten megabytes in", async () => {
    const bytes = randomBytes(TEN_MEGABYTES);
    const { stdout } = await runIn(guest(), ["sha256sum"], { stdin: bytes });
    expect(stdout.toString().split(" ")[0]).toBe(sha256(bytes));
  });

  it("carries ten megabytes out", async () => {
    const { stdout, stderr } = await runIn(guest(), [
      "sh",
      "-c",
      `head -c ${TEN_MEGABYTES} /dev/urandom | tee sent; sha256sum sent >&2; rm sent`,
    ]);
    expect(stdout.length).toBe(TEN_MEGABYTES);
    expect(sha256(stdout)).toBe(stderr.toString().split(" ")[0]);
  });

  it("carries ten megabytes in and out at once", async () => {
    const bytes = randomBytes(TEN_MEGABYTES);
    const { stdout, code } = await runIn(guest(), ["cat"], { stdin: bytes });
    expect(code).toBe(0);
    expect(sha256(stdout)).toBe(sha256(bytes));
  });

  it("loses nothing when output is read slowly", async () => {
    const execution = await guest().exec(["sh", "-c", `head -c ${TEN_MEGABYTES} /dev/zero; echo done >&2`]);
    execution.stdin.end();
    await pause(200);
    const [stdout, stderr] = await Promise.all([bytesOf(execution.stdout), bytesOf(execution.stderr)]);
    expect([stdout.length, stderr.toString()]).toEqual([TEN_MEGABYTES, "done\n"]);
  });

  it("ends a program's input without ending its output", async () => {
    const { stdout, code } = await runIn(guest(), ["sh", "-c", "cat; sleep 0.1; echo after the end"], {
      stdin: "in\n",
    });
    expect([stdout.toString(), code]).toEqual(["in\nafter the end\n", 0]);
  });

  it("keeps stdout and stderr apart", async () => {
    const { stdout, stderr } = await runIn(guest(), [
      "sh",
      "-c",
      "echo out; echo err >&2; echo out; echo err >&2",
    ]);
    expect([stdout.toString(), stderr.toString()]).toEqual(["out\nout\n", "err\nerr\n"]);
  });

  it("tells a program that nobody reads its output any more", async () => {
    const execution = await guest().exec(["sh", "-c", "while echo spam; do :; done 2>/dev/null; exit 9"]);
    execution.stdin.end();
    execution.stdout.destroy();
    expect(["exited", "signalled"]).toContain((await execution.exit).kind);
  });

  it("ends though the program never reads its input", async () => {
    const { code } = await runIn(guest(), ["true"], { stdin: Buffer.alloc(TEN_MEGABYTES) });
    expect(code).toBe(0);
  });

  it("ends though nobody closes its input", async () => {
    const execution = await guest().exec(["echo", "hello"]);
    const [stdout, status] = await Promise.all([bytesOf(execution.stdout), execution.exit]);
    expect([stdout.toString(), status]).toEqual(["hello\n", { kind: "exited", code: 0 }]);
  });

  it("tells the exit of a program that left another with its output open", async () => {
    const execution = await guest().exec(["sh", "-c", "sleep 601 & echo $!; exit 3"]);
    execution.stdin.end();
    let said = "";
    execution.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const ended = new Promise((resolve) => execution.stdout.once("end", resolve));
    expect(await execution.exit).toEqual({ kind: "exited", code: 3 });
    // Its output is still open, because that other one could write; and that one lives.
    expect(execution.stdout.readableEnded).toBe(false);
    while (!said.endsWith("\n")) await pause(5);
    expect((await runIn(guest(), ["sh", "-c", `kill ${said.trim()}`])).code).toBe(0);
    await ended;
  });

  it("hands a program nothing but its three streams", async () => {
    const { stdout } = await runIn(guest(), [
      "sh",
      "-c",
      "for fd in /proc/self/fd/*; do echo $(basename $fd) $(readlink $fd); done",
    ]);
    const others = stdout
      .toString()
      .trim()
      .split("\n")
      .filter((line) => !/^[012] /.test(line))
      // What this process inherited has been replaced; the shell's own reading of the folder is gone by now.
      .filter((line) => !/^\d+( \/dev\/null)?$/.test(line));
    expect(others).toEqual([]);
  });

  it("keeps nothing open for programs that ended", async () => {
    const { readdirSync } = await import("node:fs");
    const open = (): number => readdirSync("/proc/self/fd").length;
    await finish(await guest().exec(["true"]));
    const before = open();
    for (let i = 0; i < 20; i++) {
      const execution = await guest().exec(["true"]);
      execution.stdout.resume();
      execution.stderr.resume();
      await execution.exit;
    }
    for (let attempt = 0; attempt < 100 && open() > before; attempt++) await pause(20);
    expect(open()).toBeLessThanOrEqual(before);
  });
}

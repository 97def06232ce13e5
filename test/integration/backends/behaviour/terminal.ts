/** Programs on a terminal of the guest's own. */
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import type { Execution, Guest } from "../../../../src/contract/backend.ts";
import { bytesOf, finish } from "../../../support/bottle-guest.ts";

const SIZE = { cols: 97, rows: 31 };

/** Everything shown, and a way to wait for some of it. */
function watch(execution: Execution): { shown: () => string; shows: (text: string) => Promise<void> } {
  let shown = "";
  execution.stdout.on("data", (chunk: Buffer) => {
    shown += chunk.toString();
  });
  return {
    shown: () => shown,
    async shows(text) {
      while (!shown.includes(text)) {
        if (execution.stdout.readableEnded) throw new Error(`ended without ${text}: ${shown}`);
        await pause(5);
      }
    },
  };
}

export function testTerminal(guest: () => Guest): void {
  it("is a terminal of the size that was asked for", async () => {
    const execution = await guest().exec(
      ["sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size; echo $TERM"],
      {
        tty: SIZE,
      },
    );
    const { stdout, status } = await finish(execution);
    expect(stdout.toString()).toBe("31 97\r\nxterm-256color\r\n");
    expect(status).toEqual({ kind: "exited", code: 0 });
  });

  it("is no terminal when none was asked for", async () => {
    const { code } = await finish(
      await guest().exec(["sh", "-c", "test ! -t 0 && test ! -t 1 && test ! -t 2"]),
    );
    expect(code).toBe(0);
  });

  it("is resized while a program runs, and the program is told", async () => {
    const execution = await guest().exec(
      ["sh", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"],
      { tty: SIZE },
    );
    const screen = watch(execution);
    await screen.shows("ready");
    execution.resize({ cols: 120, rows: 40 });
    await screen.shows("40 120");
    execution.kill("SIGKILL");
    expect(await execution.exit).toEqual({ kind: "signalled", signal: "SIGKILL" });
  });

  it("echoes what is typed, and turns Ctrl-C into an interrupt", async () => {
    const execution = await guest().exec(
      ["sh", "-c", "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done"],
      {
        tty: SIZE,
      },
    );
    const screen = watch(execution);
    await screen.shows("ready");
    execution.stdin.write("typed");
    await screen.shows("typed");
    execution.stdin.write("\x03");
    await screen.shows("interrupted");
    expect(await execution.exit).toEqual({ kind: "exited", code: 5 });
  });

  it("ends a reading program with Ctrl-D", async () => {
    const execution = await guest().exec(["cat"], { tty: SIZE });
    const screen = watch(execution);
    execution.stdin.write("one line\n");
    await screen.shows("one line\r\none line\r\n");
    execution.stdin.write("\x04");
    expect(await execution.exit).toEqual({ kind: "exited", code: 0 });
  });

  it.each([0, 1, 3, 255])("tells exit code %i", async (code) => {
    const { status } = await finish(await guest().exec(["sh", "-c", `exit ${code}`], { tty: SIZE }));
    expect(status).toEqual({ kind: "exited", code });
  });

  it("refuses a program that does not exist, a file that is none, and a folder that is not there", async () => {
    await expect(guest().exec(["no-such-program"], { tty: SIZE })).rejects.toMatchObject({
      name: "UserError",
      exitCode: 127,
      message: expect.stringContaining("no-such-program"),
    });
    await expect(guest().exec(["/etc/passwd"], { tty: SIZE })).rejects.toMatchObject({ exitCode: 126 });
    await expect(guest().exec(["true"], { tty: SIZE, cwd: "/no/such/folder" })).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("/no/such/folder"),
    });
  });

  it("never yields on stderr", async () => {
    const execution = await guest().exec(["sh", "-c", "echo err >&2"], { tty: SIZE });
    execution.stdin.end();
    const [stdout, stderr] = await Promise.all([bytesOf(execution.stdout), bytesOf(execution.stderr)]);
    expect([stdout.toString(), stderr.toString()]).toEqual(["err\r\n", ""]);
  });

  it("shows everything though it is read slowly", async () => {
    const lines = 20_000;
    const execution = await guest().exec(["seq", String(lines)], { tty: SIZE });
    await pause(600);
    const shown = (await bytesOf(execution.stdout)).toString();
    expect(shown.endsWith(`${lines}\r\n`)).toBe(true);
    expect(shown.split("\r\n")).toHaveLength(lines + 1);
  });

  it("tells the exit of a program that left another on the terminal", async () => {
    const execution = await guest().exec(["sh", "-c", "trap '' HUP; sleep 602 & echo left; exit 4"], {
      tty: SIZE,
    });
    const screen = watch(execution);
    await screen.shows("left");
    expect(await execution.exit).toEqual({ kind: "exited", code: 4 });
  });

  it("ends with its keeper's side, program and all", async () => {
    const execution = await guest().exec(["sh", "-c", "echo $$; while :; do sleep 0.02; done"], {
      tty: SIZE,
    });
    const screen = watch(execution);
    await screen.shows("\n");
    const pid = screen.shown().trim();
    execution.kill("SIGHUP");
    expect((await execution.exit).kind).toBe("signalled");
    const { code } = await finish(await guest().exec(["test", "-e", `/proc/${pid}`]));
    expect(code).toBe(1);
  });
}

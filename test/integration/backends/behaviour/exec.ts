/** Starting programs: what they are given, how they end, and what is said when they cannot be started. */
import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { GUEST, type Guest } from "../../../../src/contract/backend.ts";
import { UserError } from "../../../../src/lib/errors.ts";
import { finish, runIn, sh } from "../../../support/bottle-guest.ts";
import { type BackendUnderTest, BOTTLE_ENV } from "../behaviour.ts";

/** Prints its arguments, each ended by a NUL, which none can contain. */
const ECHO_ARGUMENTS = ["sh", "-c", 'for a in "$@"; do printf "%s\\0" "$a"; done', "sh"] as const;

const ODD_ARGUMENTS = [
  "",
  " ",
  "a b",
  "line\nbreak\r\n",
  "\t\x01\x1b[31m\x7f",
  "$HOME `id` $(id) $x",
  "'single' \"double\" \\back\\",
  "*?[a-z]",
  "-rf",
  "--",
  "ünïcödé 漢字 🍾",
  "x".repeat(100_000),
];

export function testExec(guest: () => Guest, under: BackendUnderTest): void {
  it("gives a program its arguments exactly, whatever is in them", async () => {
    const { stdout, code } = await runIn(guest(), [...ECHO_ARGUMENTS, ...ODD_ARGUMENTS]);
    expect(code).toBe(0);
    expect(stdout.toString().split("\0").slice(0, -1)).toEqual(ODD_ARGUMENTS);
  });

  it("gives a program its environment exactly, whatever is in it", async () => {
    const env = {
      EMPTY: "",
      LINES: "one\ntwo\n",
      EQUALS: "=a=b=",
      QUOTES: `'"\`$HOME\\`,
      UNICODE: "ünïcödé 漢字 🍾",
      lower_case: "\x01\x7f",
      BIG: "e".repeat(100_000),
    };
    const { stdout } = await runIn(guest(), ["env", "-0"], { env });
    const given = new Map(
      stdout
        .toString()
        .split("\0")
        .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
    );
    for (const [name, value] of Object.entries(env)) expect(given.get(name), name).toBe(value);
  });

  it("sends the bottle's environment with every exec, and lets one exec add to it", async () => {
    const show = ["sh", "-c", 'printf "%s|%s" "$BOTTLE_GREETING" "$EXTRA"'] as const;
    const first = await runIn(guest(), show, { env: { EXTRA: "once" } });
    const second = await runIn(guest(), show);
    const changed = await runIn(guest(), show, { env: { BOTTLE_GREETING: "changed" } });
    expect(first.stdout.toString()).toBe(`${BOTTLE_ENV.BOTTLE_GREETING}|once`);
    expect(second.stdout.toString()).toBe(`${BOTTLE_ENV.BOTTLE_GREETING}|`);
    expect(changed.stdout.toString()).toBe("changed|");
  });

  it("gives a program nothing of this process's environment", async () => {
    process.env["BOTTLE_TEST_OUTSIDE"] = "seen";
    try {
      expect(await sh(guest(), "env")).not.toContain("BOTTLE_TEST_OUTSIDE");
    } finally {
      delete process.env["BOTTLE_TEST_OUTSIDE"];
    }
  });

  it("runs as the agent, at home, with HOME, USER and SHELL that are true", async () => {
    const said = await sh(
      guest(),
      'id -u; id -g; id -un; pwd; echo "$HOME $USER"; test -x "$SHELL" && echo shell',
    );
    expect(said.split("\n")).toEqual([
      String(GUEST.uid),
      String(GUEST.gid),
      GUEST.user,
      GUEST.home,
      `${GUEST.home} ${GUEST.user}`,
      "shell",
    ]);
  });

  it("runs in the folder that was asked for, whatever its name", async () => {
    const cwd = `${GUEST.home}/a folder\nwith 'a' "name" – 漢`;
    await runIn(guest(), ["mkdir", "-p", cwd]);
    const { stdout } = await runIn(guest(), ["pwd"], { cwd });
    expect(stdout.toString()).toBe(`${cwd}\n`);
  });

  it.each([0, 1, 2, 42, 125, 126, 127, 128, 137, 255])("tells exit code %i", async (code) => {
    const { status } = await runIn(guest(), ["sh", "-c", `exit ${code}`]);
    expect(status).toEqual({ kind: "exited", code });
  });

  it.each(["SIGTERM", "SIGKILL", "SIGINT", "SIGHUP", "SIGUSR1", "SIGSEGV"] as const)(
    "tells that a program ended by %s",
    async (signal) => {
      const { status } = await runIn(guest(), ["sh", "-c", `kill -${signal.slice(3)} $$`]);
      expect(status).toEqual({ kind: "signalled", signal });
    },
  );

  it.each(["no-such-program", "/no/such/program", "./no-such-program"])(
    "refuses %s, which does not exist, by name and with exit code 127",
    async (program) => {
      const refusal = await guest()
        .exec([program])
        .catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(UserError);
      expect(refusal).toMatchObject({ exitCode: 127, message: expect.stringContaining(program) });
    },
  );

  it.each([GUEST.home, "/etc/passwd"])(
    "refuses %s, which is no program, with exit code 126",
    async (path) => {
      await expect(guest().exec([path])).rejects.toMatchObject({ name: "UserError", exitCode: 126 });
    },
  );

  it("refuses a working folder that does not exist, by name", async () => {
    await expect(guest().exec(["true"], { cwd: "/no/such/folder" })).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("/no/such/folder"),
    });
  });

  it("refuses an argument that is larger than the system takes, and works on", async () => {
    await expect(guest().exec(["true", "x".repeat(1024 * 1024)])).rejects.toBeInstanceOf(UserError);
    await expect(guest().exec(["true", "x".repeat(8 * 1024 * 1024)])).rejects.toBeInstanceOf(UserError);
    expect(await sh(guest(), "echo on")).toBe("on");
  });

  it(under.hasRoot ? "runs as root when asked to" : "refuses root, which it has not", async () => {
    const asked = runIn(guest(), ["id", "-u"], { user: "root" });
    if (under.hasRoot) expect((await asked).stdout.toString()).toBe("0\n");
    else await expect(asked).rejects.toBeInstanceOf(UserError);
  });

  it("runs twenty programs at once, each with its own streams and end", async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        runIn(guest(), ["sh", "-c", `read line; echo "out $line"; echo "err $line" >&2; exit ${i}`], {
          stdin: `${i}\n`,
        }),
      ),
    );
    expect(all.map(({ code, stdout, stderr }) => [code, stdout.toString(), stderr.toString()])).toEqual(
      Array.from({ length: 20 }, (_, i) => [i, `out ${i}\n`, `err ${i}\n`]),
    );
  });

  it("kills a program on request", async () => {
    const execution = await guest().exec(["sleep", "600"]);
    execution.kill("SIGKILL");
    expect((await finish(execution)).status).toEqual({ kind: "signalled", signal: "SIGKILL" });
  });

  it("kills what a program has started along with it", async () => {
    const mark = `600.${process.pid}1`;
    const execution = await guest().exec(["sh", "-c", `sleep ${mark} & echo started; wait`]);
    await new Promise((resolve) => execution.stdout.once("data", resolve));
    execution.kill("SIGTERM");
    expect((await finish(execution)).status).toEqual({ kind: "signalled", signal: "SIGTERM" });
    expect(await gone(guest(), mark)).toBe(true);
  });

  it("ends an aborted program politely", async () => {
    const stop = new AbortController();
    const execution = await guest().exec(
      ["sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done"],
      {
        signal: stop.signal,
      },
    );
    await new Promise((resolve) => execution.stdout.once("data", resolve));
    stop.abort();
    const { status, stdout } = await finish(execution);
    expect(status).toEqual({ kind: "exited", code: 7 });
    expect(stdout.toString()).toBe("bye\n");
  });

  it("kills an aborted program that does not listen", async () => {
    const stop = new AbortController();
    const execution = await guest().exec(
      ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done"],
      {
        signal: stop.signal,
      },
    );
    await new Promise((resolve) => execution.stdout.once("data", resolve));
    stop.abort();
    expect((await finish(execution)).status).toEqual({ kind: "signalled", signal: "SIGKILL" });
  });

  it("ends a program whose signal was aborted before it began", async () => {
    const { status } = await finish(await guest().exec(["sleep", "600"], { signal: AbortSignal.abort() }));
    expect(status).toEqual({ kind: "signalled", signal: "SIGTERM" });
  });

  it("leaves no zombie of two hundred orphans", async () => {
    const orphans = "i=0; while [ $i -lt 200 ]; do (: &) ; i=$((i+1)); done";
    await sh(guest(), orphans);
    const zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";
    let left = "";
    for (let attempt = 0; attempt < 100 && left !== "0"; attempt++) {
      left = await sh(guest(), zombies);
      if (left !== "0") await pause(20);
    }
    expect(left).toBe("0");
  });
}

/** Waits until no process of the guest has `mark` in its command line. */
export async function gone(guest: Guest, mark: string): Promise<boolean> {
  // The pattern must not find the shell that looks for it.
  const pattern = `${mark.slice(0, 1)}[${mark.slice(1, 2)}]${mark.slice(2)}`;
  for (let attempt = 0; attempt < 100; attempt++) {
    const { code } = await runIn(guest, [
      "sh",
      "-c",
      `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q '${pattern}'`,
    ]);
    if (code !== 0) return true;
    await pause(20);
  }
  return false;
}

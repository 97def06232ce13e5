/** A second user of the host can neither see nor steer a bottle of the first; and a home that others can write is refused. */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  BOTTLE,
  type BottleCli,
  createBottleCli,
  eventually,
  isRoot,
  type Run,
} from "../../support/bottle-cli.ts";

/** Nobody's in particular: neither needs a name. */
const [FIRST, SECOND] = [61_101, 61_102];
const as = (uid: number): readonly string[] => [
  ...["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--"],
];
const lack = !isRoot
  ? "only root can be two users"
  : isReachable(BOTTLE)
    ? undefined
    : "other users cannot read where this tree lies";
if (lack !== undefined) console.warn(`SKIPPED: a second user: ${lack}`);

/** What a bottle says in its own terminal, and nobody else's. */
const WORD = "said-inside-the-bottle";

describe.skipIf(lack !== undefined)("a second user", () => {
  let cli: BottleCli;
  let id: string;
  let mine: readonly number[];
  beforeAll(async () => {
    cli = createBottleCli({ words: () => as(FIRST) });
    cli.agent("sh", ["sh", "-c"]);
    execFileSync("chown", ["-R", `${FIRST}:${FIRST}`, cli.root]);
    // What keeps them out must be the bottle's own doing, and not the luck of where it lies.
    for (const folder of [cli.root, cli.home, cli.runtime]) chmodSync(folder, 0o755);
    id = await cli.start("sh", "-p", `echo ${WORD}; echo ${WORD} >~/note; sleep 600`);
    await eventually("the agent", async () => (await cli.run(["logs", id])).stdout || undefined);
    mine = cli.processes();
  });
  afterAll(async () => {
    await cli.run(["rm", "--force", id]);
    await cli.remove();
  });

  const attempt = (...argv: readonly string[]): Run => {
    const [program = "", ...args] = [...as(SECOND), ...argv];
    try {
      return {
        code: 0,
        stdout: execFileSync(program, args, { encoding: "utf8", stdio: "pipe" }),
        stderr: "",
      };
    } catch (error) {
      const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string };
      return { code: status, stdout, stderr };
    }
  };

  it("is another user than the one whose bottle runs", async () => {
    expect(await cli.list()).toMatchObject([{ id, state: "running" }]);
    expect(mine.length).toBeGreaterThan(5);
    expect(mine.map((pid) => statSync(`/proc/${pid}`).uid)).not.toContain(SECOND);
    expect(attempt("id", "-u").stdout).toBe(`${SECOND}\n`);
  });

  it("sees no id, and enters no folder of it", () => {
    for (const folder of [
      join(cli.home, "state"),
      join(cli.home, "audit"),
      join(cli.runtime, "bot-bottle"),
    ]) {
      expect(readdirSync(folder).length, folder).toBeGreaterThan(0);
      expect(attempt("ls", folder), folder).toMatchObject({ code: 2, stdout: "" });
    }
    const inside = ["token", "bottle.json", "agent.log", "findings-key", "home/note"].map((name) =>
      join(cli.home, "state", id, name),
    );
    for (const path of [...inside, join(cli.home, "audit", `${id}.jsonl`)]) {
      expect(statSync(path).isFile(), path).toBe(true);
      expect(attempt("cat", path), path).toMatchObject({ code: 1, stdout: "" });
    }
  });

  it("steers it by no command, also not in the first one's name", () => {
    const env = [`BOT_BOTTLE_HOME=${cli.home}`, `XDG_RUNTIME_DIR=${cli.runtime}`, "HOME=/nonexistent"];
    for (const words of [
      ["list"],
      ["exec", id, "--", "cat", "note"],
      ["attach", id],
      ["stop", id],
      ["rm", "--force", id],
      ["cleanup", "--yes"],
      ["port", id, "3000"],
      ["inbox"],
    ]) {
      const { code, stdout } = attempt("env", ...env, process.execPath, BOTTLE, ...words);
      expect(code, words.join(" ")).not.toBe(0);
      expect(stdout, words.join(" ")).not.toContain(WORD);
    }
  });

  it("reaches none of its sockets, not even with the token", () => {
    const connect =
      'require("node:net").connect(process.argv[1]).on("connect", () => process.exit(0)).on("error", (e) => { console.log(e.code); process.exit(1); })';
    const folder = join(cli.runtime, "bot-bottle", id);
    const sockets = readdirSync(folder).map((name) => join(folder, name));
    expect(sockets.some((path) => path.endsWith("control.sock"))).toBe(true);
    for (const path of sockets)
      expect(attempt(process.execPath, "-e", connect, path), path).toMatchObject({
        code: 1,
        stdout: "EACCES\n",
      });
  });

  it("reads no memory, environment or open file of its processes, enters none of its namespaces, ends none of them", () => {
    for (const pid of mine) {
      for (const what of ["environ", "mem", "maps"])
        expect(attempt("head", "-c", "1", `/proc/${pid}/${what}`).code, `${what} of ${pid}`).not.toBe(0);
      expect(attempt("ls", `/proc/${pid}/fd`), `${pid}`).toMatchObject({ stdout: "" });
      expect(attempt("cat", `/proc/${pid}/root/home/node/note`).stdout, `${pid}`).toBe("");
      expect(attempt("nsenter", `--target=${pid}`, "--user", "--", "true").code, `${pid}`).not.toBe(0);
      expect(attempt("kill", "-TERM", String(pid)).code, `${pid}`).not.toBe(0);
    }
    const told = mine.map((pid) => attempt("cat", `/proc/${pid}/cmdline`).stdout).join("\n");
    const token = execFileSync("cat", [join(cli.home, "state", id, "token")], { encoding: "utf8" });
    expect(told).not.toContain(token);
  });

  it("cannot wait for it where sockets are when there is no runtime folder of one's own", async () => {
    const tmp = cli.path("tmp");
    execFileSync("mkdir", ["-m", "1777", tmp]);
    attempt("mkdir", join(tmp, `bot-bottle-${FIRST}`));
    const env = { XDG_RUNTIME_DIR: undefined, TMPDIR: tmp };
    const { code, stderr } = await cli.run(["start", "sh", "-p", "true"], { env });
    expect(code).toBe(1);
    expect(stderr).toContain("is not a directory of yours");
  });
});

describe("a home", () => {
  let cli: BottleCli;
  beforeAll(() => {
    cli = createBottleCli();
    cli.agent("sh", ["sh", "-c"]);
  });
  afterEach(() => cli.expectNothingLeft());
  afterAll(() => cli.remove());

  it.each([
    ["that others can write", "", 0o777],
    ["that a group can write", "", 0o770],
    ["whose bottles others can write", "bottles", 0o702],
    ["whose kept bottles others can write", "state", 0o722],
    ["whose logs others can write", "audit", 0o730],
  ])("%s is refused by every command, with what to run", async (_name, folder, mode) => {
    const id = (await cli.start("sh", "-p", "sleep 600")) ?? "";
    await cli.run(["stop", id]);
    const path = join(cli.home, folder).replace(/\/$/, "");
    const { mode: before } = statSync(path);
    chmodSync(path, mode);
    try {
      for (const words of [
        ["start", "sh", "-p", "true"],
        ["resume", id, "-p", "true"],
        ["list"],
        ["rm", "--force", id],
        ["audit", "verify", id],
      ]) {
        const { code, stdout, stderr } = await cli.run(words);
        expect({ code, stdout }, words.join(" ")).toEqual({ code: 1, stdout: "" });
        expect(stderr).toContain(
          `${path} can be changed by other users (mode ${mode.toString(8)}): run chmod go-w ${path}`,
        );
      }
      const doctor = await cli.run(["doctor"]);
      expect(doctor.code).toBe(1);
      expect(doctor.stdout).toContain(`run chmod go-w ${path}`);
    } finally {
      chmodSync(path, before);
    }
    expect((await cli.run(["list"])).code).toBe(0);
  });

  it.runIf(isRoot)("that is another user's is refused", async () => {
    chownSync(cli.home, SECOND, SECOND);
    try {
      const { code, stderr } = await cli.run(["list"]);
      expect(code).toBe(1);
      expect(stderr).toContain(`belongs to another user (uid ${SECOND})`);
    } finally {
      chownSync(cli.home, 0, 0);
    }
  });
});

/** By whoever is nobody. */
function isReachable(path: string): boolean {
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
  }
  return true;
}

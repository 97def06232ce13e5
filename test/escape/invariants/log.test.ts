/** I8, through the whole product: every decision is on the log, tampering is found, and without a log there is no bottle. */
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import {
  createRealOperator,
  IDLE,
  isRoot,
  pause,
  type RealBottle,
  type RealOperator,
  type RunOptions,
  shell,
} from "../../support/real-bottle.ts";

let operator: RealOperator;
let site: Upstream;

beforeAll(async () => {
  operator = await createRealOperator();
  site = await startPlainSite({ tls: await operator.authority.issue(["allowed.test"]) });
  const egress = {
    upstream_ca: [operator.caFile],
    routes: [{ host: "allowed.test", connect_to: `127.0.0.1:${site.port}` }],
  };
  operator.agent("worker", { agent_provider: IDLE, egress });
  operator.agent("asker", {
    agent_provider: shell("while true; do curl -sS https://allowed.test/; sleep 0.1; done"),
    egress,
  });
  operator.agent("runner", { agent_provider: shell("echo the agent ran") });
});
afterAll(async () => {
  await operator.remove();
  await site.close();
});

function replace(path: string): void {
  renameSync(path, `${path}.old`);
  copyFileSync(`${path}.old`, path);
}

async function verify(
  id: string,
): Promise<{ code: number | null; verdict: string; problems: { line: number; code: string }[] }> {
  const { code, stdout } = await operator.bottle(["audit", "verify", id, "--json"]);
  return { code, ...(JSON.parse(stdout) as { verdict: string; problems: { line: number; code: string }[] }) };
}

describe("I8: the log of a bottle's life", () => {
  let bottle: RealBottle;

  it("has every decision, in order, and is intact", async () => {
    bottle = await operator.start("worker", ["--cwd"]);
    expect(await verify(bottle.id)).toMatchObject({ code: 0, verdict: "open" });
    await bottle.sh("curl -sS https://allowed.test/");
    await bottle.sh("curl -sS https://allowed.test/missing");
    await bottle.exec("curl", "-sS", "https://elsewhere.test/page?q=secret");
    await bottle.exec("sh", "-c", "echo change > workspace/new; exit 7");
    await operator.bottle(["cp", "README.md", `${bottle.id}:copied.md`]);
    await operator.bottle(["cp", `${bottle.id}:copied.md`, operator.path("out.md")]);
    await operator.bottle(["diff", bottle.id]);
    expect((await bottle.stop()).code).toBe(0);

    const log = bottle.log();
    const admitted = log.findIndex(({ event }) => event === "egress.admitted");
    expect(log[admitted]?.data).toMatchObject({
      method: "GET",
      host: "allowed.test",
      path: "/",
      credential: [],
    });
    expect(admitted).toBeLessThan(log.findIndex(({ event }) => event === "egress.allowed"));
    const lines = log.filter(({ event }) => !event.startsWith("exec.") && event !== "egress.admitted");
    expect(lines.map(({ event }) => event)).toEqual([
      "log.opened",
      "bottle.launching",
      "bottle.verified",
      "bottle.ready",
      "agent.started",
      "egress.allowed",
      "egress.allowed",
      "egress.denied",
      "egress.denied",
      "files.copying-in",
      "files.copied-in",
      "files.copying-out",
      "files.copied-out",
      "work.exported",
      "work.exported",
      "bottle.ended",
      "log.head",
    ]);
    expect(lines[5]?.data).toMatchObject({
      method: "GET",
      host: "allowed.test",
      path: "/",
      status: 200,
      via: "http",
    });
    expect(lines[6]?.data).toMatchObject({ path: "/missing", status: 404 });
    const rule = "no route for elsewhere.test";
    expect(lines.slice(7, 9).map(({ data }) => data)).toEqual([
      { code: "host-not-allowed", target: "CONNECT https://elsewhere.test", rule },
      { code: "host-not-allowed", target: "GET https://elsewhere.test/page", rule },
    ]);
    const execs = bottle.log().filter(({ event }) => event.startsWith("exec."));
    expect(execs.filter(({ event }) => event === "exec.started")).toHaveLength(4);
    expect(execs.at(-1)).toMatchObject({ event: "exec.ended", data: { kind: "exited", code: 7 } });
    expect(await verify(bottle.id)).toMatchObject({ code: 0, verdict: "intact" });
  });

  it("cannot be changed, thinned, reordered, continued, passed off as another's or cut without being found out", async () => {
    const path = join(operator.home, "audit", `${bottle.id}.jsonl`);
    const lines = readFileSync(path, "utf8").split(/(?<=\n)/);
    const denied = lines.findIndex(
      (line) => line.includes("elsewhere.test") && line.includes("egress.denied"),
    );
    const swapped = [...lines];
    [swapped[denied], swapped[denied + 1]] = [swapped[denied + 1] ?? "", swapped[denied] ?? ""];
    const forgeries: Readonly<Record<string, readonly [number, string, readonly string[]]>> = {
      changed: [1, "broken", lines.with(denied, lines[denied]?.replace("elsewhere", "somewhere") ?? "")],
      thinned: [1, "broken", lines.toSpliced(denied, 1)],
      reordered: [1, "broken", swapped],
      continued: [1, "broken", [...lines, lines[denied] ?? ""]],
      cut: [3, "open-or-cut", lines.slice(0, -1)],
      "cut deeply": [3, "open-or-cut", lines.slice(0, denied)],
      "cut in a line": [3, "torn", lines.with(-1, (lines.at(-1) ?? "").slice(0, 20))],
    };
    for (const [how, [code, verdict, forged]] of Object.entries(forgeries)) {
      writeFileSync(path, forged.join(""));
      expect(await verify(bottle.id), how).toMatchObject({ code, verdict });
      const words = await operator.bottle(["audit", "verify", bottle.id]);
      expect(words.code, how).toBe(code);
      expect(words.stdout, how).toMatch(
        code === 1 ? /BROKEN[\s\S]*line \d+: / : verdict === "torn" ? /last line is torn/ : /no closing head/,
      );
    }
    const { hash } = JSON.parse(lines.at(-1) ?? "") as { hash: string };
    const kept = await operator.bottle(["audit", "verify", bottle.id, "--head", hash]);
    expect([kept.code, kept.stdout]).toEqual([1, expect.stringContaining("BROKEN")]);

    writeFileSync(path, lines.join(""));
    expect(await verify(bottle.id)).toMatchObject({ code: 0, verdict: "intact" });
    const words = await operator.bottle(["audit", "verify", bottle.id, "--head", hash]);
    expect([words.code, words.stdout]).toEqual([0, expect.stringContaining(`head: ${hash} (line `)]);
    expect((await operator.bottle(["audit", "verify", bottle.id, "--head", "elsewhere"])).code).toBe(2);

    copyFileSync(path, join(operator.home, "audit", "other-00000.jsonl"));
    expect(await verify("other-00000")).toMatchObject({ code: 1, verdict: "broken" });
  });
});

describe("I8: while the bottle runs, a log that is not the log any more", () => {
  it.each([
    ["replaced", replace],
    ["removed", (path: string) => rmSync(path)],
    ["changed", (path: string) => writeFileSync(path, '{"forged":true}\n', { flag: "a" })],
  ] as const)(
    "is noticed when it was %s, and ends the bottle with whatever it was doing",
    async (_how, tamper) => {
      const bottle = await operator.start("asker");
      await bottle.logged(({ event }) => event === "egress.allowed");
      tamper(join(operator.home, "audit", `${bottle.id}.jsonl`));
      for (let i = 0; i < 100 && isAlive(bottle.keeper); i++) await pause(50);
      expect(isAlive(bottle.keeper)).toBe(false);
      const before = site.requests.length;
      await pause(300);
      expect(site.requests.length).toBe(before);
      const refused = await bottle.exec("true");
      expect(refused).toMatchObject({ code: 1 });
      expect(refused.stderr).toContain("is not running");
      await operator.bottle(["rm", "--force", bottle.id]);
    },
  );
});

describe("I8: while whoever writes the log does not", () => {
  it("nothing more leaves, and what waited does once it is written", async () => {
    const bottle = await operator.start("asker");
    await bottle.logged(({ event }) => event === "egress.allowed");
    process.kill(bottle.keeper, "SIGSTOP");
    try {
      // What was on the log already lasts for its second.
      await pause(2_000);
      const before = site.requests.length;
      await pause(1_000);
      expect(site.requests.length).toBe(before);
      process.kill(bottle.keeper, "SIGCONT");
      for (let i = 0; i < 100 && site.requests.length === before; i++) await pause(50);
      expect(site.requests.length).toBeGreaterThan(before);
    } finally {
      process.kill(bottle.keeper, "SIGCONT");
    }
    expect((await bottle.stop()).code).toBe(0);
    expect(await verify(bottle.id)).toMatchObject({ code: 0, verdict: "intact" });
  });
});

describe("I8: where the log cannot be written", () => {
  const audit = (): string => join(operator.home, "audit");
  beforeEach(() => {
    rmSync(audit(), { recursive: true, force: true });
    mkdirSync(audit(), { mode: 0o700 });
  });

  /** With the host's key in place it is the log itself that cannot be made. */
  async function makeKey(): Promise<void> {
    expect((await operator.bottle(["start", "runner", "--prompt", "go"])).code).toBe(0);
  }

  async function expectRefused(options: RunOptions = {}): Promise<string> {
    const run = await operator.bottle(["start", "runner", "--prompt", "go"], options);
    expect(run.code).toBe(1);
    expect(run.stdout).toBe("");
    expect(run.stderr).toMatch(/next: /);
    expect(readdirSync(join(operator.home, "state")).filter((id) => id.startsWith("runner-"))).toEqual([]);
    return run.stderr;
  }

  it("because its folder is a file, no bottle starts", async () => {
    rmSync(audit(), { recursive: true });
    writeFileSync(audit(), "");
    expect(await expectRefused()).toContain("BOT_BOTTLE_HOME");
  });

  it("because its folder is not writable, no bottle starts", async ({ skip }) => {
    skip(isRoot, "root may write everywhere");
    await makeKey();
    chmodSync(audit(), 0o500);
    expect(await expectRefused()).toContain("nothing is allowed unrecorded");
    chmodSync(audit(), 0o700);
  });

  it.runIf(isRoot)("because its disk is read-only, no bottle starts", async () => {
    await makeKey();
    const wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c"];
    const stderr = await expectRefused({
      wrapper: [
        ...wrapper,
        'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"',
        "sh",
        audit(),
      ],
    });
    expect(stderr).toContain("nothing is allowed unrecorded");
  });

  it("because its key is damaged, no bottle starts", async () => {
    writeFileSync(join(audit(), "host-key.pem"), "no key\n", { mode: 0o600 });
    expect(await expectRefused()).toContain("host-key.pem");
  });

  it("control: with all in place it does", async () => {
    expect(await operator.bottle(["start", "runner", "--prompt", "go"])).toMatchObject({
      code: 0,
      stdout: "the agent ran\n",
    });
  });
});

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

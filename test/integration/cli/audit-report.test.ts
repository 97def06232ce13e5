import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type AuditLog, openLog } from "../../../src/audit/log.ts";
import { homeOf } from "../../../src/lib/paths.ts";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";

let cli: BottleCli;
let log: AuditLog;
let path: string;
let counter = 0;
let id: string;
beforeAll(() => {
  cli = createBottleCli();
});
afterAll(() => cli.remove());

async function begin(): Promise<void> {
  id = `worker-${String(++counter).padStart(5, "0")}`;
  log = await openLog({ home: homeOf({ BOT_BOTTLE_HOME: cli.home }), bottle: id });
  path = join(cli.home, "audit", `${id}.jsonl`);
  await log.append("bottle.launching", {
    agent: "worker",
    bottle: "dev",
    backend: "namespace",
    hosts: ["a.test"],
  });
  await log.append("egress.denied", {
    code: "host-not-allowed",
    target: "GET https://x.test/<script>alert(1)</script>|`\u001b[2J",
    rule: "no route",
  });
}
afterEach(() => log.close().catch(() => {}));

describe("bottle audit report", () => {
  it("is one page about a bottle that runs, and about one that has ended", async () => {
    await begin();
    const running = await cli.run(["audit", "report", id]);
    expect(running.code).toBe(0);
    expect(running.stdout).toContain("The log is intact so far; its bottle is running.");
    expect(running.stdout).toContain("| Agent | `worker` |");
    await log.append("bottle.ended", { at: "now", exit: "exit code 0", kept: false });
    await log.close();
    const ended = await cli.run(["audit", "report", id]);
    expect(ended.stdout).toContain("The log is intact.");
    expect(ended.stdout).toContain("| Ended | `exit code 0` |");
    expect(ended.stdout).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
  });

  it("writes HTML to a file, whole, with hostile text as text", async () => {
    await begin();
    await log.close();
    const { code, stdout } = await cli.run(["audit", "report", id, "--html", "-o", "page.html"]);
    expect([code, stdout]).toEqual([0, ""]);
    const html = readFileSync(join(cli.folder, "page.html"), "utf8");
    expect(html).toContain("https://x.test/&lt;script&gt;alert(1)&lt;/script&gt;|`\\u{1b}[2J");
    expect(html).not.toContain("<script");
    expect(statSync(join(cli.folder, "page.html")).mode & 0o777).toBe(0o644);
    const refused = await cli.run(["audit", "report", id, "-o", "nowhere/page.html"]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot write") });
    expect(existsSync(join(cli.folder, "nowhere"))).toBe(false);
  });

  it("reads a log that was tampered with, and says so first", async () => {
    await begin();
    await log.close();
    const lines = readFileSync(path, "utf8").split("\n");
    lines[2] = (lines[2] ?? "").replace("x.test", "y.test");
    writeFileSync(path, `${lines.join("\n")}half a line`);
    const { code, stdout } = await cli.run(["audit", "report", id]);
    expect(code).toBe(0);
    expect(stdout.split("\n")[2]).toMatch(/^\*\*Mind: the log is\*\* BROKEN/);
    expect(stdout).toMatch(/^- `line 3: /m);
    expect(stdout).toMatch(/\| Lines \| \d+, and 1 not as written, left out here \|/);
    expect(stdout).not.toContain("y.test");
  });

  it("reads one that cannot be verified, and one without an end", async () => {
    await begin();
    await log.close();
    writeFileSync(path, readFileSync(path, "utf8").split("\n").slice(0, 3).join("\n").concat("\n"));
    expect((await cli.run(["audit", "report", id])).stdout).toContain("no closing head");
    const key = join(cli.home, "audit", "host-key.pub");
    const text = readFileSync(key);
    rmSync(key);
    const { code, stdout } = await cli.run(["audit", "report", id]);
    writeFileSync(key, text);
    expect(code).toBe(0);
    expect(stdout).toContain("**Mind: the log is** not verified.");
  });

  it("names a bottle that there is not", async () => {
    await begin();
    expect(await cli.run(["audit", "report", "worker-99999"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("there is no bottle worker-99999"),
    });
    expect((await cli.run(["audit", "report", "../../etc"])).code).toBe(1);
  });
});

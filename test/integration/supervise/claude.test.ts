/** The real Claude Code, pointed at supervise as a bottle points it there. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cacheOf } from "../../../src/lib/paths.ts";
import { run } from "../../../src/lib/processes.ts";
import { claude } from "../../../src/providers/claude.ts";
import { closesAfterEach } from "../../support/closing.ts";
import { startSuperviseProcess, superviseConfig } from "../../support/supervise.ts";

const closing = closesAfterEach();

describe("claude mcp", () => {
  it("adds it by its URL and bearer, and finds it healthy", { timeout: 600_000 }, async () => {
    const bearer = randomBytes(24).toString("hex");
    const supervise = startSuperviseProcess();
    closing.push(() => supervise.kill());
    supervise.send({ type: "config", config: superviseConfig({ bearer }) });
    const url = `http://${await supervise.ready()}/mcp`;
    const [mount] = await claude.install(cacheOf(), () => {});
    if (mount === undefined) throw new Error("claude mounts nothing");
    const home = await mkdtemp(join(tmpdir(), "claude-mcp-"));
    closing.push(() => rm(home, { recursive: true, force: true }));
    const env = {
      HOME: home,
      PATH: "/usr/bin:/bin",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_TELEMETRY: "1",
      DISABLE_AUTOUPDATER: "1",
    };
    const mcp = (...args: string[]) =>
      run([join(mount.from, "claude"), "mcp", ...args], { env, cwd: home, timeoutMs: 120_000 });

    const header = (value: string): string[] => ["--header", `Authorization: Bearer ${value}`];
    const options = ["--transport", "http", "--scope", "user"];
    const added = await mcp("add", ...options, "supervise", url, ...header(bearer));
    expect([added.code, added.stderr]).toEqual([0, ""]);
    await mcp("add", ...options, "impostor", url, ...header("0".repeat(48)));

    const listed = (await mcp("list")).stdout.toString("utf8");
    expect(listed).toMatch(/^supervise: .*Connected/m);
    expect(listed).not.toMatch(/^impostor: .*Connected/m);
  });
});

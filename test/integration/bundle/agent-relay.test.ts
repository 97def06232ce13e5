import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { relayAgent } from "../../../src/bundle/agent-relay.ts";
import { makeSshKeyPair } from "../../../src/bundle/private-key.ts";
import { type RunResult, run } from "../../../src/lib/processes.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";

let folder: string;
let agent: ChildProcess;
let scope: Scope;
const path = (...parts: readonly string[]): string => join(folder, ...parts);
const relay = (): string => path("relay", "sock");

beforeEach(async () => {
  folder = mkdtempSync("/tmp/relay-");
  agent = spawn("ssh-agent", ["-D", "-a", path("agent")], { stdio: "ignore" });
  while (!existsSync(path("agent"))) await new Promise((resolve) => setTimeout(resolve, 5));
  scope = createScope();
  await relayAgent({ agent: path("agent"), path: relay(), uid: process.getuid?.() ?? 0 }, scope);
  writeFileSync(path("key"), makeSshKeyPair().privateKey, { mode: 0o600 });
  execFileSync("ssh-add", ["-q", path("key")], { env: environment(path("agent")), stdio: "ignore" });
});
afterEach(async () => {
  await scope.close();
  agent.kill();
  rmSync(folder, { recursive: true, force: true });
});

const environment = (socket: string): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  SSH_AUTH_SOCK: socket,
});
/** Not at once, as the relay lives in this process. */
const throughRelay = (...argv: readonly [string, ...string[]]): Promise<RunResult> =>
  run(argv, { env: environment(relay()), timeoutMs: 10_000 });

/** Sends bytes and returns what comes back until nothing more does. */
function ask(bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = connect(relay(), () => socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      socket.end();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(Buffer.concat(chunks)));
  });
}

describe("the operator's ssh-agent, as git-gate sees it", () => {
  it("lists keys and signs", async () => {
    const keys = (await throughRelay("ssh-add", "-L")).stdout.toString();
    expect(keys).toMatch(/^ssh-ed25519 /);
    writeFileSync(path("key.pub"), keys);
    rmSync(path("key"));
    writeFileSync(path("text"), "a text");
    const signed = await throughRelay(
      "ssh-keygen",
      "-Y",
      "sign",
      "-f",
      path("key.pub"),
      "-n",
      "file",
      path("text"),
    );
    expect(signed.code).toBe(0);
    expect(readFileSync(path("text.sig"), "utf8")).toContain("SSH SIGNATURE");
  });

  it("takes, drops and locks no key", async () => {
    writeFileSync(path("other"), makeSshKeyPair().privateKey, { mode: 0o600 });
    expect((await throughRelay("ssh-add", path("other"))).code).not.toBe(0);
    expect((await throughRelay("ssh-add", "-D")).code).not.toBe(0);
    expect((await throughRelay("ssh-add", "-d", path("key"))).code).not.toBe(0);
    const left = execFileSync("ssh-add", ["-l"], { env: environment(path("agent")), encoding: "utf8" });
    expect(left.trim().split("\n")).toHaveLength(1);
  });

  it("is asked no extension but the one that says for which host a signature is", async () => {
    const field = (text: string): Buffer => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(text));
      return Buffer.concat([length, Buffer.from(text)]);
    };
    const extension = (name: string): Buffer =>
      field(Buffer.concat([Buffer.from([27]), field(name)]).toString("latin1"));
    // SSH_AGENT_FAILURE, by us: the agent would say SSH_AGENT_EXTENSION_FAILURE or FAILURE to what it does not know.
    expect((await ask(extension("query"))).subarray(4)).toEqual(Buffer.from([5]));
    expect((await ask(extension("session-bind@openssh.com"))).length).toBeGreaterThan(4);
  });

  it.each([
    ["nothing in it", Buffer.from([0, 0, 0, 0])],
    ["a length beyond any message", Buffer.from([255, 255, 255, 255, 11])],
  ])("hangs up on a message with %s", async (_, bytes) => {
    expect(await ask(bytes)).toEqual(Buffer.alloc(0));
  });

  it("leaves nothing behind", async () => {
    await scope.close();
    expect(existsSync(path("relay"))).toBe(false);
  });
});

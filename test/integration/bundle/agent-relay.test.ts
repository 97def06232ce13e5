import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { relayAgent } from "../../../src/bundle/agent-relay.ts";
import { makeSshKeyPair } from "../../../src/bundle/private-key.ts";
import { type RunResult, run } from "../../../src/lib/processes.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { type SshAgent, startSshAgent } from "../../support/ssh-agent.ts";

let folder: string;
let agent: SshAgent;
let scope: Scope;
const path = (...parts: readonly string[]): string => join(folder, ...parts);
const relay = (): string => path("relay", "sock");

beforeEach(async () => {
  folder = mkdtempSync("/tmp/relay-");
  writeFileSync(path("key"), makeSshKeyPair().privateKey, { mode: 0o600 });
  agent = await startSshAgent(path("agent"), path("key"));
  scope = createScope();
  await relayAgent({ agent: agent.socket, path: relay(), uid: process.getuid?.() ?? 0 }, scope);
});
afterEach(async () => {
  await scope.close();
  agent.close();
  rmSync(folder, { recursive: true, force: true });
});

const environment = (socket: string): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  SSH_AUTH_SOCK: socket,
});
/** Not at once, as the relay lives in this process. */
const throughRelay = (...argv: readonly [string, ...string[]]): Promise<RunResult> =>
  run(argv, { env: environment(relay()), timeoutMs: 10_000 });

const SUCCESS = Buffer.from([0, 0, 0, 1, 6]);
const FAILURE = Buffer.from([0, 0, 0, 1, 5]);

/** As the protocol writes both a message and a text in one: its length first. */
function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Sends bytes and returns what comes back until nothing more does. */
function ask(bytes: Buffer, to = relay()): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = connect(to, () => socket.write(bytes));
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

  it("is told nothing else, whatever the kind of message", async () => {
    const heard: Buffer[] = [];
    const fake = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (chunk: Buffer) => {
        heard.push(chunk);
        socket.write(SUCCESS);
      });
    });
    await new Promise<void>((resolve) => fake.listen(path("fake"), resolve));
    await relayAgent(
      { agent: path("fake"), path: path("second", "sock"), uid: process.getuid?.() ?? 0 },
      scope,
    );
    const through = async (message: Buffer): Promise<"told" | "refused"> => {
      const before = heard.length;
      const answer = await ask(framed(message), path("second", "sock"));
      expect(answer).toEqual(heard.length > before ? SUCCESS : FAILURE);
      return heard.length > before ? "told" : "refused";
    };
    for (let kind = 0; kind < 256; kind++)
      expect(await through(Buffer.from([kind, 0, 0, 0, 0])), `message ${kind}`).toBe(
        [11, 13].includes(kind) ? "told" : "refused",
      );
    const extension = (name: string): Buffer =>
      Buffer.concat([Buffer.from([27]), framed(Buffer.from(name)), Buffer.from("more")]);
    expect(await through(extension("session-bind@openssh.com"))).toBe("told");
    for (const name of [
      "query",
      "session-bind@openssh.com.example",
      "restrict-destination-v00@openssh.com",
      "",
    ])
      expect(await through(extension(name)), name).toBe("refused");
    fake.close();
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

import { Duplex, PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import type { Execution, ExitStatus } from "../../../src/contract/backend.ts";
import type { ControlReply } from "../../../src/keeper/control-protocol.ts";
import type { SessionEnds } from "../../../src/keeper/control-server.ts";
import { bindExecution, connectStreams } from "../../../src/keeper/session-streams.ts";

/** A command and its client, both at the hands of the test. */
function createParts() {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const client = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  const replies: ControlReply[] = [];
  const killed: string[] = [];
  let exit: (status: ExitStatus) => void = () => {};
  let hangUp: () => void = () => {};
  const execution: Execution = {
    stdin,
    stdout,
    stderr,
    exit: new Promise((resolve) => {
      exit = resolve;
    }),
    kill: (signal) => void killed.push(signal),
    resize() {},
  };
  const ends = {
    ...client,
    reply: async (message: ControlReply) => void replies.push(message),
    listen(_onCommand: unknown, onGone: () => void) {
      hangUp = onGone;
    },
  } as unknown as SessionEnds;
  const bound = bindExecution(execution, ends, false);
  return {
    bound,
    stdin,
    stdout,
    stderr,
    client,
    replies,
    killed,
    exit: (status: ExitStatus) => exit(status),
    hangUp: () => hangUp(),
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const isSettled = async (promise: Promise<unknown>, milliseconds: number): Promise<boolean> =>
  Promise.race([
    promise.then(() => true),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), milliseconds)),
  ]);

describe("a command bound to its client", () => {
  it("tells the exit when all output has ended", async () => {
    const parts = createParts();
    parts.stdout.end("out");
    parts.stderr.end("err");
    parts.exit({ kind: "exited", code: 4 });
    parts.client.stdout.resume();
    parts.client.stderr.resume();
    expect(await parts.bound).toEqual({ kind: "exited", code: 4 });
    expect(parts.replies).toEqual([{ started: true, tty: false }, { exit: { kind: "exited", code: 4 } }]);
  });

  it("passes input on to its end", async () => {
    const parts = createParts();
    await turn();
    parts.client.stdin.end("in");
    let text = "";
    for await (const chunk of parts.stdin) text += String(chunk);
    expect(text).toBe("in");
    parts.stdout.end();
    parts.stderr.end();
    parts.exit({ kind: "exited", code: 0 });
  });

  it("regression: waits for a client that reads slowly, and loses nothing", async () => {
    const parts = createParts();
    const sent = 512 * 1024;
    for (let i = 0; i < 8; i++) parts.stdout.write(Buffer.alloc(sent / 8));
    parts.stdout.end();
    parts.stderr.end();
    parts.exit({ kind: "exited", code: 0 });
    expect(await isSettled(parts.bound, 1_300)).toBe(false);
    let size = 0;
    parts.client.stdout.on("data", (chunk: Buffer) => {
      size += chunk.length;
    });
    await parts.bound;
    await turn();
    expect(size).toBe(sent);
  });

  it("does not wait for output that somebody in the guest keeps open in silence", async () => {
    const parts = createParts();
    parts.client.stdout.resume();
    parts.stdout.write("said");
    parts.exit({ kind: "exited", code: 0 });
    expect(await isSettled(parts.bound, 5_000)).toBe(true);
  });

  it("ends what its client let go of, and then waits for nobody to read", async () => {
    const parts = createParts();
    await turn();
    parts.stdout.write(Buffer.alloc(512 * 1024));
    parts.hangUp();
    expect(parts.killed).toEqual(["SIGHUP"]);
    parts.client.stdout.destroy();
    parts.client.stderr.destroy();
    parts.exit({ kind: "signalled", signal: "SIGHUP" });
    expect(await parts.bound).toEqual({ kind: "signalled", signal: "SIGHUP" });
  });
});

describe("two connections as one", () => {
  it("loses nothing of what was said by one that has closed, to one that is slow to take it", async () => {
    const taken: Buffer[] = [];
    const slow = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        setTimeout(() => {
          taken.push(chunk);
          done();
        }, 1);
      },
    });
    slow.push(null);
    const said = Buffer.alloc(256 * 1024, "x");
    const closed = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    for (let at = 0; at < said.length; at += 4096) closed.push(said.subarray(at, at + 4096));
    closed.push(null);
    connectStreams(closed, slow);
    await new Promise((resolve) => slow.once("close", resolve));
    expect(Buffer.concat(taken).length).toBe(said.length);
  });
});

/**
 * A hostile guest on the other side of the keeper's connection: whatever its init answers, or does not, the keeper
 * neither crashes nor hangs, keeps no connection, holds no more than a line, and says what it was told escaped.
 */
import { readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createGuestClient, type GuestClient, guestSocket } from "../../../src/jail/guest-client.ts";
import type { Header } from "../../../src/jail/guest-protocol.ts";
import { UserError } from "../../../src/lib/errors.ts";
import { readFirstLine } from "../../../src/lib/first-line.ts";
import { temporaryFolder } from "../../support/bottle-guest.ts";

const ANSWER_TIMEOUT_MS = 300;
const KILL_GRACE_MS = 50;
const EXEC = { env: {}, cwd: "/" };

let folder: string;
let server: Server | undefined;
let peers: Set<Socket>;
let client: GuestClient;

beforeEach(async () => {
  folder = await temporaryFolder();
  peers = new Set();
  client = createGuestClient(guestSocket(join(folder, "s")), {
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    killGraceMs: KILL_GRACE_MS,
  });
});
afterEach(async () => {
  for (const peer of peers) peer.destroy();
  server?.close();
  await rm(folder, { recursive: true });
});

/** An init that does with every connection what `behave` says, once it knows what the connection is for. */
async function init(behave: (socket: Socket, header: Header) => void | Promise<void>): Promise<void> {
  const listening = createServer({ allowHalfOpen: true }, async (socket) => {
    peers.add(socket);
    socket.on("close", () => peers.delete(socket));
    socket.on("error", () => {});
    const line = await readFirstLine(socket, 4 * 1024 * 1024).catch(() => undefined);
    if (line === undefined) {
      socket.destroy();
      return;
    }
    socket.resume();
    await behave(socket, JSON.parse(line) as Header);
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(join(folder, "s"), resolve));
}

/** Answers the control connection of an exec with `answer`; its streams stay open. */
const answering =
  (...answers: readonly string[]) =>
  (socket: Socket, header: Header): void => {
    if (header.kind !== "stream") socket.write(answers.join(""));
  };

async function refusal(promise: Promise<unknown>): Promise<UserError> {
  const error = await promise.then(
    () => expect.fail("it was accepted"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

/** The keeper's own view: none of its descriptors is left over. */
async function expectNothingOpen(before: number): Promise<void> {
  let now = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 50 && now > before; attempt++) {
    await pause(10);
    // The guest's own ends are in this process too.
    for (const peer of peers) peer.destroy();
    now = openDescriptors();
  }
  expect(now).toBeLessThanOrEqual(before);
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

const GARBAGE: Readonly<Record<string, string>> = {
  "no JSON": "ready when you are\n",
  "an empty line": "\n",
  "JSON that is no answer": '{"hello":"keeper"}\n',
  "an answer with something extra": '{"pid":3,"__proto__":{"code":0}}\n',
  "a number": "42\n",
  null: "null\n",
  "a pid that is none": '{"pid":-1}\n',
  "a pid that is no integer": '{"pid":1.5}\n',
  "a pid as text": '{"pid":"1; rm -rf /"}\n',
  "an exit before a start": '{"exit":{"code":0,"signal":null}}\n',
  "the answer of another purpose": '{"results":[]}\n',
  "bytes that are no text": "\xff\xfe\x00\n",
  "a deep nest": `${"[".repeat(30_000)}${"]".repeat(30_000)}\n`,
  "a line that is too long": `{"error":"${"x".repeat(1024 * 1024)}"}\n`,
};

describe("a guest that answers an exec with", () => {
  it.each(Object.entries(GARBAGE))("%s is refused, and nothing stays open", async (_, answer) => {
    await init(answering(answer));
    const before = openDescriptors();
    await refusal(client.exec(["true"], EXEC));
    await expectNothingOpen(before);
  });
});

describe("a guest that answers a dial, a probe or a watch with", () => {
  it.each(Object.entries(GARBAGE))("%s is refused, and nothing stays open", async (what, answer) => {
    await init(answering(answer));
    const before = openDescriptors();
    await refusal(client.dial(80));
    await refusal(client.watch());
    if (what !== "the answer of another purpose") await refusal(client.probe([], 10));
    await expectNothingOpen(before);
  });
});

describe("a guest that", () => {
  it("is not there is gone, for every purpose", async () => {
    const before = openDescriptors();
    const asked = [client.exec(["true"], EXEC), client.dial(80), client.probe([], 10), client.watch()];
    for (const { message } of await Promise.all(asked.map(refusal)))
      expect(message).toBe("the guest is gone");
    await expectNothingOpen(before);
  });

  it("never answers is waited for so long and no longer", async () => {
    await init(() => {});
    const before = openDescriptors();
    for (const ask of [
      () => client.exec(["true"], EXEC),
      () => client.exec(["true"], { ...EXEC, tty: { cols: 80, rows: 24 } }),
      () => client.dial(80),
      () => client.probe([], 10),
      () => client.watch(),
    ]) {
      expect((await refusal(ask())).message).toBe("the guest does not answer");
    }
    await expectNothingOpen(before);
  });

  it("never takes what it is sent is waited for so long and no longer", async () => {
    // More than a socket holds, and nobody reads it.
    const listening = createServer({ pauseOnConnect: true }, (socket) => {
      peers.add(socket);
      socket.on("error", () => {});
    });
    server = listening;
    await new Promise<void>((resolve) => listening.listen(join(folder, "s"), resolve));
    const before = openDescriptors();
    const asked = client.exec(["true", "x".repeat(2 * 1024 * 1024)], EXEC);
    expect((await refusal(asked)).message).toBe("the guest does not answer");
    await expectNothingOpen(before);
  });

  it("drips its answer byte by byte is waited for so long and no longer", async () => {
    await init(async (socket, { kind }) => {
      while (kind !== "stream" && !socket.destroyed) {
        socket.write("{");
        await pause(20);
      }
    });
    await refusal(client.exec(["true"], EXEC));
  });

  it("closes the control, a stream, or all at once, is gone", async () => {
    for (const closes of ["exec", "stream", "all"]) {
      await init((socket, { kind }) => {
        if (closes === "all" || kind === closes) socket.destroy();
        if (kind === "exec" && !socket.destroyed) socket.write("{}\n");
      });
      const before = openDescriptors();
      await refusal(client.exec(["true"], EXEC));
      await expectNothingOpen(before);
      await new Promise((resolve) => server?.close(resolve));
    }
  });

  it("says something about an error has it shown without its control characters, and cut", async () => {
    const hostile = "\u001b]0;owned\u0007\u001b[2J\nsecond line \u202e";
    await init(answering(`${JSON.stringify({ error: hostile.repeat(100) })}\n`));
    const { message } = await refusal(client.exec(["true"], EXEC));
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(message.length).toBeLessThan(400);
  });

  it("says a wrong pid gains nothing: signals go to its init, never to a process of the host", async () => {
    const commands: string[] = [];
    await init((socket, { kind }) => {
      if (kind !== "exec") return;
      socket.write(`{"pid":${process.pid}}\n`);
      socket.on("data", (chunk) => {
        commands.push(chunk.toString());
        socket.end('{"exit":{"code":null,"signal":"SIGKILL"}}\n');
      });
    });
    const execution = await client.exec(["true"], EXEC);
    execution.kill("SIGKILL");
    expect(await execution.exit).toEqual({ kind: "signalled", signal: "SIGKILL" });
    expect(commands).toEqual(['{"kill":"SIGKILL"}\n']);
  });
});

const STARTED = '{"pid":7}\n';

const LOST: Readonly<Record<string, string>> = {
  "nothing and closes": "",
  garbage: "}{\n",
  "a second start": STARTED,
  "an exit code of 256": '{"exit":{"code":256,"signal":null}}\n',
  "an exit code of -1": '{"exit":{"code":-1,"signal":null}}\n',
  "neither code nor signal": '{"exit":{"code":null,"signal":null}}\n',
  "a signal that is none": '{"exit":{"code":null,"signal":"SIGEVIL"}}\n',
  "a signal that every object has": '{"exit":{"code":null,"signal":"toString"}}\n',
  "a prototype as a signal": '{"exit":{"code":null,"signal":"__proto__"}}\n',
  "a line without end": "x".repeat(200_000),
};

describe("a program whose guest says of its end", () => {
  it.each(Object.entries(LOST))("%s is lost, and nothing stays open", async (_, answer) => {
    await init((socket, { kind }) => {
      if (kind === "exec") socket.end(STARTED + answer);
      else socket.end();
    });
    const before = openDescriptors();
    const { exit, stdout, stderr } = await client.exec(["true"], EXEC);
    stdout.resume();
    stderr.resume();
    expect((await exit).kind).toBe("lost");
    await expectNothingOpen(before);
  });

  it("nothing, ever, is lost once it was aborted and the two signals changed nothing", async () => {
    const commands: string[] = [];
    await init((socket, { kind }) => {
      if (kind !== "exec") return;
      socket.write(STARTED);
      socket.on("data", (chunk) => commands.push(...chunk.toString().trim().split("\n")));
    });
    const stop = new AbortController();
    const { exit } = await client.exec(["true"], { ...EXEC, signal: stop.signal });
    stop.abort();
    expect((await exit).kind).toBe("lost");
    expect(commands).toEqual(['{"kill":"SIGTERM"}', '{"kill":"SIGKILL"}']);
  });

  it("more than once is believed once", async () => {
    await init(
      answering(STARTED, '{"exit":{"code":3,"signal":null}}\n', '{"exit":{"code":4,"signal":null}}\n'),
    );
    const { exit } = await client.exec(["true"], EXEC);
    expect(await exit).toEqual({ kind: "exited", code: 3 });
  });
});

describe("streams of a guest's that", () => {
  it("never end and are never read cost no more than what a socket holds", async () => {
    let written = 0;
    await init(async (socket, header) => {
      if (header.kind === "exec") socket.write(STARTED);
      if (header.kind !== "stream" || header.number !== 1) return;
      while (!socket.destroyed && socket.write(Buffer.alloc(64 * 1024))) {
        written += 64 * 1024;
        await pause(1);
      }
    });
    const { stdout } = await client.exec(["yes"], EXEC);
    await pause(300);
    const held = written;
    await pause(200);
    expect(written).toBe(held);
    expect(held).toBeLessThan(4 * 1024 * 1024);
    stdout.destroy();
  });

  it("talk where a program only listens are not kept", async () => {
    await init((socket, header) => {
      if (header.kind === "exec") setTimeout(() => socket.write(`${STARTED}`), 10);
      if (header.kind !== "stream" || header.number !== 0) return;
      for (let i = 0; i < 64; i++) socket.write(Buffer.alloc(64 * 1024));
    });
    const { stdin } = await client.exec(["cat"], EXEC);
    await pause(200);
    expect((stdin as Socket).readableLength).toBe(0);
    expect((stdin as Socket).bytesRead).toBe(64 * 64 * 1024);
    stdin.destroy();
  });
});

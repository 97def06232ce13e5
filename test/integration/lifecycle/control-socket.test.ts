import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BottleStatus } from "../../../src/keeper/control-protocol.ts";
import { MAX_REQUEST_BYTES } from "../../../src/keeper/control-protocol.ts";
import { type ControlHandlers, serveControl } from "../../../src/keeper/control-server.ts";
import { UserError } from "../../../src/lib/errors.ts";
import { createScope, type Scope } from "../../../src/lib/scope.ts";
import { askOnce, eventually, pause } from "../../support/bottle-cli.ts";
import { testInbox } from "../../support/inbox.ts";

const TOKEN = "a".repeat(64);
const SESSION = "0".repeat(32);
const STATUS: BottleStatus = {
  id: "x-00000",
  agent: "x",
  backend: "namespace",
  startedAt: "2030-01-01T00:00:00.000Z",
  keeperPid: 1,
  phase: "running",
  sidecars: [],
};

let folder: string;
let path: string;
let scope: Scope;
const calls: string[] = [];
let lack: UserError | undefined;
beforeEach(async () => {
  folder = mkdtempSync("/tmp/bbc-");
  path = join(folder, "control.sock");
  scope = createScope();
  calls.length = 0;
  lack = undefined;
  const handlers: ControlHandlers = {
    get lack() {
      return lack;
    },
    status: () => STATUS,
    inbox: testInbox(),
    thaw: async () => void calls.push("thaw"),
    async exec({ argv }, ends) {
      calls.push(argv.join(" "));
      if (argv[0] === "missing") throw new UserError("there is no missing", { exitCode: 127, hint: "look" });
      await ends.reply({ started: true, tty: false });
      ends.stdout.write(`ran ${argv.join(" ")}\n`);
      await ends.reply({ exit: { kind: "exited", code: 0 } });
    },
    async agent() {},
    async dial(port, socket) {
      socket.write(`{"done":true}\n`);
      socket.pipe(socket);
      calls.push(`dial ${port}`);
    },
    async copyIn(from, to) {
      calls.push(`${from} to ${to}`);
    },
    async copyOut() {
      throw new Error("a disk broke");
    },
    async copyDisk(to, why) {
      calls.push(`disk to ${to.join(" ")}: ${why}`);
    },
    exportWork: () => Promise.reject(new UserError("no work")),
    async stop() {
      calls.push("stop");
      return {
        id: "test-00000",
        exit: { kind: "exited", code: 0 },
        kept: false,
        problems: ["a door is open"],
      };
    },
  };
  await serveControl(path, TOKEN, handlers, scope);
});
afterEach(async () => {
  await scope.close();
  expect(existsSync(path)).toBe(false);
  rmSync(folder, { recursive: true });
});

const line = (request: object, token = TOKEN): string => `${JSON.stringify({ ...request, token })}\n`;
const ask = async (request: object, token?: string): Promise<unknown> =>
  JSON.parse(await askOnce(path, line(request, token)));

function open(): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true });
  socket.on("error", () => {});
  return new Promise((resolve) => socket.once("connect", () => resolve(socket)));
}

/** True when the keeper still answers. */
async function answers(): Promise<boolean> {
  const reply = (await ask({ op: "status" })) as { status?: unknown };
  return reply.status !== undefined;
}

describe("the keeper's control socket", () => {
  it("answers whoever has the token", async () => {
    expect(await ask({ op: "status" })).toEqual({ status: STATUS });
    expect(await ask({ op: "copy-in", from: "/a", to: "/b" })).toEqual({ done: true });
    expect(calls).toEqual(["/a to /b"]);
  });

  it("I8: refuses at once what could not be recorded, and does what needs no record", async () => {
    lack = new UserError("no room", { hint: "make some" });
    const refused = { error: { message: "no room", hint: "make some", exitCode: 1 } };
    for (const request of [
      { op: "copy-in", from: "/a", to: "/b" },
      { op: "exec", session: SESSION, argv: ["true"] },
      { op: "dial", port: 80 },
      { op: "export" },
      { op: "deny", ticket: "a".repeat(32), by: "me", reason: "no" },
      { op: "freeze", by: "me" },
    ])
      expect(await ask(request)).toEqual(refused);
    expect(calls).toEqual([]);
    expect(await ask({ op: "status" })).toEqual({ status: STATUS });
    expect(await ask({ op: "inbox" })).toHaveProperty("inbox");
    expect(await ask({ op: "thaw", by: "me" })).toEqual({ done: true });
    expect(await ask({ op: "stop" })).toHaveProperty("settled");
    expect(calls).toEqual(["thaw", "stop"]);
  });

  it.each([
    ["another token", "b".repeat(64)],
    ["a shorter one", "a".repeat(63)],
    ["a longer one", "a".repeat(65)],
    ["none", ""],
    ["one outside ASCII", "ä".repeat(32)],
  ])("refuses %s, and does nothing of what was asked", async (_name, token) => {
    for (const request of [{ op: "status" }, { op: "stop" }, { op: "copy-in", from: "/a", to: "/b" }]) {
      expect(await ask(request, token)).toEqual({ error: { message: "wrong token", exitCode: 1 } });
    }
    expect(calls).toEqual([]);
  });

  it.each([
    ["no JSON", "hello\n"],
    ["HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["binary", Buffer.from([0, 255, 254, 10])],
    ["a list", "[]\n"],
    ["nothing in it", "{}\n"],
    ["no such operation", line({ op: "format-disk" })],
    ["a member too many", line({ op: "status", extra: 1 })],
    ["an empty command", line({ op: "exec", session: SESSION, argv: [] })],
    ["a session that is no session", line({ op: "exec", session: "../../x", argv: ["true"] })],
    ["a port that is none", line({ op: "dial", port: 70_000 })],
    ["deep nesting", `${"[".repeat(100_000)}\n`],
  ])("refuses %s", async (_name, text) => {
    const reply = JSON.parse(await askOnce(path, text)) as { error?: { message: string } };
    expect(reply.error?.message).toBeTypeOf("string");
    expect(calls).toEqual([]);
    expect(await answers()).toBe(true);
  });

  it("refuses a first line without end, and holds no more of it than its bound", async () => {
    const socket = await open();
    let refused = "";
    socket.setEncoding("utf8").on("data", (text: string) => {
      refused += text;
    });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    const piece = Buffer.alloc(1024 * 1024, "x");
    for (let sent = 0; sent <= MAX_REQUEST_BYTES + piece.length && !socket.destroyed; sent += piece.length) {
      await new Promise((resolve) => socket.write(piece, resolve));
    }
    socket.end();
    await closed;
    expect(refused).toContain("a line of more than");
    expect(await answers()).toBe(true);
  });

  it("hands a handler's words and exit code on, and of anything else the message", async () => {
    expect(await ask({ op: "export" })).toEqual({ error: { message: "no work", exitCode: 1 } });
    expect(await ask({ op: "copy-out", from: "/a", to: "/b" })).toEqual({
      error: { message: "a disk broke", exitCode: 1 },
    });
  });

  it("joins the streams of a session, in whichever order they come", async () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
    ]) {
      const streams: Socket[] = [];
      const connectStreams = async (): Promise<void> => {
        for (const number of order) {
          const stream = await open();
          stream.write(line({ op: "stream", session: SESSION, number }));
          streams.push(stream);
        }
      };
      if (order[0] === 2) await connectStreams();
      const control = askOnce(path, line({ op: "exec", session: SESSION, argv: ["a", "b"] }));
      if (order[0] === 0) await connectStreams();
      const stdout = streams[order.indexOf(1)];
      let text = "";
      for await (const chunk of stdout?.setEncoding("utf8") ?? []) text += chunk;
      expect(text).toBe("ran a b\n");
      expect(
        (await control)
          .trim()
          .split("\n")
          .map((each) => JSON.parse(each) as unknown),
      ).toEqual([{ started: true, tty: false }, { exit: { kind: "exited", code: 0 } }]);
      for (const stream of streams) stream.destroy();
    }
  });

  it("does not let one session's streams into another's", async () => {
    const stray = await open();
    stray.write(line({ op: "stream", session: "1".repeat(32), number: 1 }));
    const control = await open();
    control.write(line({ op: "exec", session: SESSION, argv: ["true"] }));
    await pause(200);
    expect(calls).toEqual([]);
    stray.destroy();
    control.destroy();
  });

  it("gives a dialled connection's bytes through, the first with the request", async () => {
    const socket = await open();
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    socket.write(`${line({ op: "dial", port: 80 })}already here`);
    await eventually("the echo", () => (text === `{"done":true}\nalready here` ? true : undefined));
    socket.end();
  });

  it("goes on after clients that say nothing, half a line, or hang up", async () => {
    const silent = await Promise.all(Array.from({ length: 30 }, open));
    for (const socket of silent.slice(0, 10)) socket.write('{"op":"sta');
    for (const socket of silent.slice(5, 20)) socket.end();
    for (const socket of silent.slice(20, 25)) socket.destroy();
    expect(await answers()).toBe(true);
    for (const socket of silent) socket.destroy();
  });

  it("takes three hundred connections at once for what they are: some are turned away, and then all is well", async () => {
    const sockets = await Promise.all(
      Array.from({ length: 300 }, async () => {
        const socket = await open();
        let isClosed = false;
        socket.resume().once("end", () => socket.end());
        socket.once("close", () => {
          isClosed = true;
        });
        return { socket, isClosed: () => isClosed };
      }),
    );
    await eventually("some to be turned away", () =>
      sockets.filter(({ isClosed }) => isClosed()).length >= 44 ? true : undefined,
    );
    for (const { socket } of sockets) socket.destroy();
    await eventually("the others to be gone", async () =>
      (await answers().catch(() => false)) ? true : undefined,
    );
    const replies = await Promise.all(Array.from({ length: 100 }, () => ask({ op: "status" })));
    expect(replies.every((reply) => (reply as { status?: unknown }).status !== undefined)).toBe(true);
  });

  it("closes within its time although clients hold on, and gives a slow reader what it was told", async () => {
    const idle = await open();
    const reading = await open();
    reading.write(line({ op: "status" }));
    const begun = Date.now();
    await scope.close();
    expect(Date.now() - begun).toBeLessThan(30_000);
    let text = "";
    for await (const chunk of reading.setEncoding("utf8")) text += chunk;
    expect(text === "" || JSON.parse(text).status !== undefined).toBe(true);
    idle.destroy();
  });
});

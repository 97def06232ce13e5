/** `bottle port`: what the agent serves, on the host's loopback alone, whatever the agent's side does. */
import { type AddressInfo, connect, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli, eventually, type Running } from "../../support/bottle-cli.ts";

/** Echoes what it gets in capitals, says it is full, or never stops: by its port. */
const SERVERS = `
  const { createServer } = require("node:net");
  const serve = (port, on) => createServer({ allowHalfOpen: true }, (socket) => { socket.on("error", () => {}); on(socket); }).listen(port, "127.0.0.1");
  serve(3000, (socket) => { let text = ""; socket.on("data", (chunk) => { text += chunk; }); socket.on("end", () => socket.end(text.toUpperCase())); });
  serve(3001, (socket) => socket.destroy());
  serve(3002, (socket) => { const more = () => { while (socket.write("x".repeat(65536))); }; socket.on("drain", more); more(); });
  serve(3003, () => {});
  serve(3004, (socket) => socket.end("y".repeat(20e6)));
  console.log("up");`;

let cli: BottleCli;
let id: string;
beforeAll(async () => {
  cli = createBottleCli();
  cli.agent("server", ["node", "-e"]);
  id = await cli.start("server", "-p", SERVERS);
  await eventually("its servers", async () => (await cli.run(["logs", id])).stdout || undefined);
});
afterAll(async () => {
  await cli.run(["stop", id]);
  await cli.expectNothingLeft();
  await cli.remove();
});

interface Opened {
  readonly command: Running;
  readonly local: number;
}

async function open(ports: string, ...flags: readonly string[]): Promise<Opened> {
  const command = cli.begin(["port", id, ports, ...flags]);
  const local = await eventually("its port", () => {
    const [, found] = /127\.0\.0\.1:(\d+)\n/.exec(command.stdout()) ?? [];
    return found === undefined ? undefined : Number(found);
  });
  return { command, local };
}

async function close({ command }: Opened, signal: NodeJS.Signals = "SIGINT") {
  command.child.kill(signal);
  return command.ended;
}

/** What comes back for `text`, to the end. */
function talk(port: number, text: string, host = "127.0.0.1"): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host, allowHalfOpen: true });
    let answer = "";
    socket.once("error", reject);
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      answer += chunk;
    });
    socket.once("end", () => socket.end());
    socket.once("close", () => resolve(answer));
    socket.end(text);
  });
}

describe("bottle port", () => {
  it("brings the agent's server to a port here, half-closed connections and all, until Ctrl-C", async () => {
    const opened = await open("0:3000");
    expect(await talk(opened.local, "hello")).toBe("HELLO");
    const texts = Array.from({ length: 40 }, (_, i) => `number ${i}`);
    expect(await Promise.all(texts.map((text) => talk(opened.local, text)))).toEqual(
      texts.map((text) => text.toUpperCase()),
    );
    expect((await close(opened)).code).toBe(0);
    await expect(talk(opened.local, "")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    const logged = cli.log(id).filter(({ event }) => event === "port.opened");
    expect(logged.map(({ data }) => data["port"])).toEqual([3000]);
  });

  it("listens on 127.0.0.1 and nowhere else", async () => {
    const opened = await open("0:3000");
    for (const host of ["127.0.0.2", "::1"]) {
      await expect(talk(opened.local, "", host)).rejects.toMatchObject({
        code: expect.stringMatching(/ECONNREFUSED|EADDRNOTAVAIL/),
      });
    }
    await close(opened);
  });

  it("loses nothing of a long answer", async () => {
    const opened = await open("0:3004");
    expect((await talk(opened.local, "")).length).toBe(20_000_000);
    await close(opened);
  });

  it("takes the same port here unless told otherwise, and says when somebody has it", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as AddressInfo;
    const refused = await cli.run(["port", id, String(port)]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`cannot listen on 127.0.0.1:${port}: EADDRINUSE`);
    expect(refused.stderr).toContain("0:3000");
    other.close();
  });

  it("tells programs where it is", async () => {
    const command = cli.begin(["port", id, "0:3000", "--json"]);
    const opened = await eventually("its word", () =>
      command.stdout().endsWith("}\n")
        ? (JSON.parse(command.stdout()) as Record<string, unknown>)
        : undefined,
    );
    expect(opened).toEqual({ id, port: 3000, host: "127.0.0.1", local: expect.any(Number) });
    expect(await talk(Number(opened["local"]), "data")).toBe("DATA");
    command.child.kill("SIGTERM");
    expect((await command.ended).code).toBe(0);
  });

  it("hangs up where nobody listens, and says what is missing; later connections are served", async () => {
    const opened = await open("0:3999");
    expect(await talk(opened.local, "").catch(() => "")).toBe("");
    await eventually("the reason", () =>
      opened.command.stderr().includes("nothing in the guest listens on port 3999") ? true : undefined,
    );
    const late = cli.begin([
      ...["exec", id, "--", "node", "-e"],
      'require("node:net").createServer((c) => c.end("late")).listen(3999, "127.0.0.1", () => console.log("up"))',
    ]);
    await eventually("the late server", () => late.stdout() || undefined);
    expect(await talk(opened.local, "")).toBe("late");
    late.child.kill("SIGTERM");
    await late.ended;
    await close(opened);
  });

  it("outlives a guest that hangs up at once, never stops, or never answers", async () => {
    for (const [port, then] of [
      [3001, "ends"],
      [3002, "floods"],
      [3003, "is silent"],
    ] as const) {
      const opened = await open(`0:${port}`);
      const sockets = Array.from({ length: 8 }, () => {
        const socket = connect(opened.local, "127.0.0.1");
        socket.on("error", () => {});
        if (then !== "floods") socket.resume();
        return socket;
      });
      if (then === "ends")
        await Promise.all(sockets.map((socket) => new Promise((r) => socket.once("close", r))));
      else await new Promise((resolve) => setTimeout(resolve, 300));
      // The bottle is not held up by any of it.
      expect((await cli.run(["exec", id, "--", "echo", "here"])).stdout).toBe("here\n");
      expect((await close(opened)).code, then).toBe(0);
      for (const socket of sockets) socket.destroy();
    }
  });

  it("refuses what is no port, and a bottle that does not run", async () => {
    for (const text of ["0", "70000", "x", "1:2:3", "-1", "80:"]) {
      expect((await cli.run(["port", id, text])).code, text).toBe(2);
    }
    expect((await cli.run(["port", "none-00000", "3000"])).stderr).toContain("there is no bottle none-00000");
  });

  it("ends with the bottle", async () => {
    const doomed = await cli.start("server", "-p", SERVERS);
    const command = cli.begin(["port", doomed, "0:3000"]);
    await eventually("its port", () => command.stdout() || undefined);
    await cli.run(["rm", "--force", doomed]);
    const { code, stderr } = await command.ended;
    expect(code).toBe(1);
    expect(stderr).toContain(`bottle ${doomed} has ended`);
  });
});

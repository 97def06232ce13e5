import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  type Message,
  type RequestEvents,
  UpstreamConnection,
  type UpstreamRequest,
} from "../../../src/sidecars/egress/upstream/connection.ts";

/** What was written, and what the test lets come. */
class Far extends Duplex {
  written = "";
  override _read(): void {}
  override _write(chunk: Buffer | string, _encoding: string, done: () => void): void {
    this.written += chunk.toString("latin1");
    done();
  }
}

interface Heard {
  status: number;
  body: string;
  whole: number;
  lost: string[];
}

function open() {
  const far = new Far();
  const freed: UpstreamConnection[] = [];
  const connection = new UpstreamConnection(far as unknown as Socket, (each) => freed.push(each));
  function ask(message: Partial<Message> = {}): { request: UpstreamRequest; heard: Heard } {
    const heard: Heard = { status: 0, body: "", whole: 0, lost: [] };
    const events: RequestEvents = {
      head: ({ head }) => {
        heard.status = head.status;
      },
      body: (bytes) => {
        heard.body += bytes.toString();
      },
      caughtUp: () => {},
      end: () => {
        heard.whole += 1;
      },
      switched: () => {},
      drain: () => {},
      lost: ({ code }, wasHeard) => heard.lost.push(`${code} ${wasHeard}`),
    };
    const request = connection.ask(
      { method: "GET", path: "/", headers: ["Host", "a"], chunked: false, ...message },
      events,
    );
    if (request === undefined) throw new Error("not sent");
    return { request, heard };
  }
  const say = async (text: string): Promise<void> => {
    far.push(Buffer.from(text, "latin1"));
    await settled();
  };
  return { far, freed, connection, ask, say };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
const answer = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe("a connection to an upstream", () => {
  it("carries one request after the other, and says when it is free", async () => {
    const { far, freed, ask, say } = open();
    for (const body of ["one", "two"]) {
      const { request, heard } = ask({ path: `/${body}` });
      request.end();
      await say(answer(body));
      expect(heard).toMatchObject({ status: 200, body, whole: 1, lost: [] });
    }
    expect(far.written).toBe("GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(freed).toHaveLength(2);
  });

  it("is not ended, nor held up, by a request that has had its answer", async () => {
    const { far, ask, say } = open();
    const first = ask();
    first.request.end();
    await say(answer("one"));
    const second = ask();
    second.request.end();
    first.request.pause();
    first.request.destroy();
    await say(answer("two"));
    expect(far.destroyed).toBe(false);
    expect(second.heard).toMatchObject({ body: "two", whole: 1 });
  });

  it.each([
    ["more than it said", `${answer("one")}more`],
    ["that it closes", answer("one").replace("OK\r\n", "OK\r\nConnection: close\r\n")],
    ["HTTP/1.0", answer("one").replace("1.1", "1.0")],
  ])("is not used again after an answer with %s", async (_what, text) => {
    const { far, freed, ask, say } = open();
    const { request, heard } = ask();
    request.end();
    await say(text);
    expect(heard).toMatchObject({ body: "one", whole: 1, lost: [] });
    expect(freed).toEqual([]);
    expect(far.destroyed).toBe(true);
  });

  it("is not free before the request is sent whole", async () => {
    const { freed, ask, say } = open();
    const { request } = ask({ method: "POST", headers: ["Content-Length", "4"] });
    request.write(Buffer.from("bo"));
    await say(answer("early"));
    expect(freed).toEqual([]);
    request.write(Buffer.from("dy"));
    request.end();
    expect(freed).toHaveLength(1);
  });

  it("that speaks, or ends, between two requests gets no other", async () => {
    for (const act of ["speaks", "ends"] as const) {
      const { far, connection, ask, say } = open();
      ask().request.end();
      await say(answer("one"));
      expect(connection.usable).toBe(true);
      far.push(act === "speaks" ? Buffer.from("HTTP/1.1 200 OK\r\n\r\n") : null);
      await settled();
      expect(connection.usable).toBe(false);
      expect(far.destroyed).toBe(true);
    }
  });

  it.each([
    ["before an answer", "", "upstream-failed false"],
    ["in the middle of a head", "HTTP/1.1 200", "upstream-failed false"],
    ["in the middle of a body", answer("one").slice(0, -1), "upstream-failed true"],
  ])("that ends %s is told of, once", async (_what, text, expected) => {
    const { far, ask, say } = open();
    const { request, heard } = ask();
    request.end();
    if (text !== "") await say(text);
    far.push(null);
    await settled();
    far.destroy();
    await settled();
    expect(heard).toMatchObject({ whole: 0, lost: [expected] });
  });

  it("that makes no sense is told of, and ended", async () => {
    const { far, ask, say } = open();
    const { request, heard } = ask();
    request.end();
    await say("220 smtp.example.test\r\n");
    expect(heard.lost).toEqual(["upstream-protocol true"]);
    expect(far.destroyed).toBe(true);
  });

  it("writes chunks where the length is not known", () => {
    const { far, ask } = open();
    const { request } = ask({ method: "POST", headers: ["Transfer-Encoding", "chunked"], chunked: true });
    request.write(Buffer.from("0123456789abcdef"));
    request.write(Buffer.alloc(0));
    request.write(Buffer.from("x"));
    request.end();
    expect(far.written).toBe(
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n1\r\nx\r\n0\r\n\r\n",
    );
  });

  it.each<[string, Partial<Message>]>([
    ["a line break in a value", { headers: ["X-A", "b\r\nX-Evil: 1"] }],
    ["a NUL in a value", { headers: ["X-A", "b\0"] }],
    ["a line break in a name", { headers: ["X-A: 1\r\nX", "b"] }],
    ["more than latin1 in a value", { headers: ["X-A", "\u0141"] }],
    ["a space in the path", { path: "/a HTTP/1.1\r\n" }],
    ["a blank in the path", { path: "/a b" }],
  ])("sends nothing with %s", (_what, message) => {
    const { far, ask } = open();
    expect(() => ask(message)).toThrow("not sent");
    expect(far.written).toBe("");
  });
});

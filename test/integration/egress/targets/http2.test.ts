import { describe, expect, it } from "vitest";
import { denialIn, openTunnel } from "../../../support/egress.ts";
import { type Site, sites } from "../../../support/egress-site.ts";
import { type Field, frame, literal, outcomeOf, requestBytes } from "../../../support/http2-frames.ts";

const HOST = "api.example.test";
/** And the settings, which are empty. */
const PREFACE_BYTES = 24 + 9;
const { serve } = sites();

const PLAIN: readonly Field[] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", HOST],
  [":path", "/a"],
];
const but = (name: string, value: string): readonly Field[] =>
  PLAIN.map((field) => (field[0] === name ? [name, value] : field));
const without = (name: string): readonly Field[] => PLAIN.filter((field) => field[0] !== name);

/** A denial's code, `reset`, or what the site said. */
async function outcome({ egress }: Site, fields: readonly Field[], body?: string): Promise<string> {
  const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
  const result = await outcomeOf(socket, requestBytes(fields, body));
  socket.destroy();
  return result.startsWith("{") ? denialIn(result).code : result;
}

describe("over HTTP/2", () => {
  it("what tests send by hand is understood when nothing is wrong with it", async () => {
    const site = await serve({ hosts: [HOST] });
    expect(await outcome(site, PLAIN)).toBe("reached");
    expect(site.reached).toMatchObject([{ method: "GET", url: "/a", host: HOST }]);
  });

  it.each<[string, readonly Field[], string]>([
    ["another :authority", but(":authority", "evil.test"), "host-mismatch"],
    ["another allowed :authority", but(":authority", "other.test"), "host-mismatch"],
    ["user information in :authority", but(":authority", `a@${HOST}`), "host-mismatch"],
    ["another port in :authority", but(":authority", `${HOST}:80`), "host-mismatch"],
    ["an address in :authority", but(":authority", "127.0.0.1"), "host-mismatch"],
    ["Host besides :authority, and another one", [...PLAIN, ["host", "evil.test"]], "host-mismatch"],
    [
      "Host in place of :authority, and another one",
      [...without(":authority"), ["host", "evil.test"]],
      "host-mismatch",
    ],
    ["http as :scheme", but(":scheme", "http"), "scheme-refused"],
    ["ftp as :scheme", but(":scheme", "ftp"), "scheme-refused"],
    ["a fragment in :path", but(":path", "/a#b"), "path-refused"],
    ["a backslash in :path", but(":path", "/a\\b"), "path-refused"],
    ["more than ASCII in :path", but(":path", "/\u00e9"), "path-refused"],
    ["a dot segment in :path", but(":path", "/a/../b"), "path-refused"],
    ["a method in lower case", but(":method", "get"), "method-refused"],
    ["TRACE", but(":method", "TRACE"), "method-refused"],
    [
      "CONNECT",
      [
        [":method", "CONNECT"],
        [":authority", "evil.test:443"],
      ],
      "method-refused",
    ],
    ["a length with a leading zero", [...PLAIN, ["content-length", "00"]], "framing-refused"],
    ["an override of the path", [...PLAIN, ["x-original-url", "/b"]], "override-refused"],
  ])("%s is refused", async (what, fields, code) => {
    const ruled = { host: HOST, matches: [{ methods: ["GET"] }] };
    const site = await serve({ hosts: code === "override-refused" ? [ruled] : [HOST, "other.test"] });
    const came = await outcome(site, fields);
    expect(site.reached).toEqual([]);
    // From Node 24 on its library answers that one itself, as it does those below.
    if (what.startsWith("user information") && came === "reset") return;
    expect(came).toBe(code);
    expect(await site.egress.waitFor("egress.denied")).toMatchObject([{ code }]);
  });

  // What HTTP/2 itself forbids, its library answers on its own: no request comes of it.
  it.each<[string, readonly Field[]]>([
    ["a name in upper case", [...PLAIN, ["X-Upper", "b"]]],
    ["connection", [...PLAIN, ["connection", "close"]]],
    ["keep-alive", [...PLAIN, ["keep-alive", "timeout=5"]]],
    ["proxy-connection", [...PLAIN, ["proxy-connection", "close"]]],
    ["transfer-encoding", [...PLAIN, ["transfer-encoding", "chunked"]]],
    ["upgrade", [...PLAIN, ["upgrade", "websocket"]]],
    ["te with more than trailers", [...PLAIN, ["te", "gzip"]]],
    ["two :path", [...PLAIN, [":path", "/b"]]],
    ["two :method", [...PLAIN, [":method", "POST"]]],
    ["two :authority", [...PLAIN, [":authority", "evil.test"]]],
    ["two Host", [...PLAIN, ["host", HOST], ["host", "evil.test"]]],
    ["a pseudo header behind a plain one", [...without(":path"), ["x-a", "b"], [":path", "/b"]]],
    ["a pseudo header that there is not", [...PLAIN, [":evil", "x"]]],
    ["a pseudo header of answers", [...PLAIN, [":status", "200"]]],
    ["no host", without(":authority")],
    ["an empty :authority", but(":authority", "")],
    ["a line break in :authority", but(":authority", `${HOST}\r\nx: y`)],
    ["no :path", without(":path")],
    ["an empty :path", but(":path", "")],
    ["a whole URL as :path", but(":path", "https://evil.test/")],
    ["a relative :path", but(":path", "evil")],
    ["a space in :path", but(":path", "/a b")],
    ["a request in :path", but(":path", "/ HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /b")],
    ["no :scheme", without(":scheme")],
    ["a URL as :scheme", but(":scheme", "https://evil.test/x?")],
    ["no :method", without(":method")],
    ["a request in :method", but(":method", "GET /evil HTTP/1.1\r\nx:")],
    ["CONNECT with a path", but(":method", "CONNECT")],
    ["CONNECT for a WebSocket", [...but(":method", "CONNECT"), [":protocol", "websocket"]]],
    ["a length without a body", [...PLAIN, ["content-length", "5"]]],
    ["two lengths", [...PLAIN, ["content-length", "0"], ["content-length", "5"]]],
    ["a length with a sign", [...PLAIN, ["content-length", "+0"]]],
  ])("%s resets the stream", async (_what, fields) => {
    const site = await serve({ hosts: [HOST] });
    expect(await outcome(site, fields)).toBe("reset");
    expect(site.reached).toEqual([]);
    const [denied] = await site.egress.waitFor("egress.denied");
    expect(denied).toMatchObject({ code: "request-malformed", target: `? https://${HOST}` });
  });

  it.each<[string, Field]>([
    ["CR and LF in a value", ["x-a", "b\r\nx-evil: 1"]],
    ["a CR in a value", ["x-a", "b\rx-evil: 1"]],
    ["an LF in a value", ["x-a", "b\nx-evil: 1"]],
    ["a NUL in a value", ["x-a", "b\0c"]],
    ["another control character in a value", ["x-a", "b\u0001c"]],
    ["CR and LF in a name", ["x\r\nevil", "b"]],
    ["a colon in a name", ["x:evil", "b"]],
    ["a space in a name", ["x evil", "b"]],
    ["no name", ["", "b"]],
  ])("a field with %s is refused, and the requests beside it are not", async (_what, field) => {
    const site = await serve({ hosts: [HOST] });
    expect(await outcome(site, [...PLAIN, field, ["x-after", "1"]])).toBe("request-malformed");
    expect(site.reached).toEqual([]);
    const [denied] = await site.egress.waitFor("egress.denied");
    expect(denied).toMatchObject({ code: "request-malformed", target: `GET https://${HOST}/a` });
    const socket = await openTunnel(site.egress, HOST, { alpn: ["h2"] });
    const bad = frame(1, 0x5, 1, Buffer.concat([...PLAIN, field].map(literal)));
    const good = frame(1, 0x5, 3, Buffer.concat(PLAIN.map(literal)));
    const preface = requestBytes([]).subarray(0, PREFACE_BYTES);
    expect(denialIn(await outcomeOf(socket, Buffer.concat([preface, bad, good])))).toMatchObject({
      code: "request-malformed",
    });
    await expect.poll(() => site.reached.length).toBe(1);
    socket.destroy();
  });

  it("a field with a line break in trailers, of which nothing travels, is refused too", async () => {
    const site = await serve({ hosts: [HOST] });
    for (const field of [
      ["x-a", "b\r\nx-evil: 1"],
      ["x-a", "b"],
    ] as const) {
      const socket = await openTunnel(site.egress, HOST, { alpn: ["h2"] });
      const fields = but(":method", "POST").map(literal);
      const bytes = Buffer.concat([
        requestBytes([]).subarray(0, PREFACE_BYTES),
        frame(1, 0x4, 1, Buffer.concat(fields)),
        frame(0, 0, 1, Buffer.from("body")),
        frame(1, 0x5, 1, literal(field)),
      ]);
      const came = await outcomeOf(socket, bytes);
      expect(came.startsWith("{") ? denialIn(came).code : came).toBe(
        field[1] === "b" ? "reached" : "request-malformed",
      );
      socket.destroy();
    }
    expect(site.reached).toHaveLength(1);
  });

  it.each<[string, string]>([
    ["shorter than", "123"],
    ["longer than", "123456GET /smuggled HTTP/1.1\r\nHost: api.example.test\r\n\r\n"],
  ])("a body %s its length is no request", async (_what, body) => {
    const site = await serve({ hosts: [HOST] });
    const fields: readonly Field[] = [...but(":method", "POST"), ["content-length", "5"]];
    expect(["reset", "goaway", "framing-refused"]).toContain(await outcome(site, fields, body));
    expect(site.reached).toEqual([]);
  });

  it.each<[string, Buffer]>([
    ["something else altogether", Buffer.from("GET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n")],
    ["fields that cannot be unpacked", badlyPacked()],
  ])("%s closes the connection, and the log says so", async (_what, bytes) => {
    const { egress } = await serve({ hosts: [HOST] });
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    expect(["closed", "goaway"]).toContain(await outcomeOf(socket, bytes));
    const [denied] = await egress.waitFor("egress.denied");
    expect(denied).toMatchObject({ code: "request-malformed", target: `? https://${HOST}` });
    socket.destroy();
  });

  it.each<[string, number]>([
    ["that all is well", 0],
    ["that it has an error of its own", 2],
    ["that the answer was none", 1],
  ])("a client that goes, saying %s, is no denial", async (_what, code) => {
    const { egress } = await serve({ hosts: [HOST] });
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    expect(await outcomeOf(socket, requestBytes(PLAIN))).toBe("reached");
    const goaway = Buffer.alloc(8);
    goaway.writeUInt32BE(code, 4);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.end(frame(7, 0, 0, goaway));
    await closed;
    // What there was to tell of it was told before the next one.
    expect(await outcome({ egress } as Site, PLAIN)).toBe("reached");
    expect(egress.events("egress.denied")).toEqual([]);
  });

  it("a request among others that is refused does not disturb them", async () => {
    const site = await serve({ hosts: [HOST] });
    const socket = await openTunnel(site.egress, HOST, { alpn: ["h2"] });
    const bad = Buffer.concat([...PLAIN, ["X-Upper", "b"] as const].map(literal));
    const good = requestBytes(PLAIN);
    const third = frame(1, 0x5, 3, bad);
    const fifth = frame(1, 0x5, 5, Buffer.concat(PLAIN.map(literal)));
    expect(await outcomeOf(socket, Buffer.concat([good, third, fifth]))).toBe("reached");
    await expect.poll(() => site.reached.length).toBe(2);
    expect(await site.egress.waitFor("egress.denied")).toMatchObject([{ code: "request-malformed" }]);
    socket.destroy();
  });
});

/** An index of HPACK's table that there is not. */
function badlyPacked(): Buffer {
  return Buffer.concat([
    requestBytes([]).subarray(0, PREFACE_BYTES),
    frame(1, 0x5, 1, Buffer.from([0xff, 0x7f])),
  ]);
}

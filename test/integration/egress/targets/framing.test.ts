import { describe, expect, it } from "vitest";
import { exchangeRaw, openTunnel, readAll } from "../../../support/egress.ts";
import { codeOfRaw, type Site, sites } from "../../../support/egress-site.ts";

const HOST = "api.example.test";
const HOST_LINE = `Host: ${HOST}\r\n`;
const CLOSE = "Connection: close\r\n";
const GET = `GET / HTTP/1.1\r\n${HOST_LINE}`;
const POST = `POST /a HTTP/1.1\r\n${HOST_LINE}`;
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n${CLOSE}\r\n`;
/** Follows each of these, for whoever would take it for a request. */
const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${HOST_LINE}${CLOSE}\r\n`;

const { serve } = sites();

async function inTunnel({ egress }: Site, text: string): Promise<string> {
  const tls = await openTunnel(egress, HOST);
  const answer = readAll(tls);
  tls.write(Buffer.from(text, "latin1"));
  return (await answer).text;
}

describe("a head", () => {
  it.each<[string, string, string]>([
    ["folded with a space", `${GET}X-A: b\r\n c\r\n${CLOSE}\r\n`, "request-malformed"],
    ["folded with a tab", `${GET}X-A: b\r\n\tc\r\n${CLOSE}\r\n`, "request-malformed"],
    ["that begins folded", `GET / HTTP/1.1\r\n X: y\r\n${HOST_LINE}${CLOSE}\r\n`, "request-malformed"],
    ["with a folded length", `${POST}Content-Length:\r\n 3\r\n${CLOSE}\r\nabc`, "request-malformed"],
    [
      "with a folded coding",
      `${POST}Transfer-Encoding:\r\n chunked\r\n${CLOSE}\r\n0\r\n\r\n`,
      "request-malformed",
    ],
    ["whose first line ends in LF", `GET / HTTP/1.1\n${HOST_LINE}${CLOSE}\r\n`, "request-malformed"],
    ["whose lines end in LF", `GET / HTTP/1.1\r\nHost: ${HOST}\n${CLOSE}\r\n`, "request-malformed"],
    ["that ends in LF", `${GET}${CLOSE}\n`, "request-malformed"],
    ["with a bare CR", `GET / HTTP/1.1\r\nHost: ${HOST}\rX: y\r\n${CLOSE}\r\n`, "request-malformed"],
    ["of HTTP/0.9, as it really was", "GET /\r\n\r\n", "request-malformed"],
    ["of HTTP/0.9", `GET / HTTP/0.9\r\n${HOST_LINE}${CLOSE}\r\n`, "request-malformed"],
    ["of HTTP/1.2", `GET / HTTP/1.2\r\n${HOST_LINE}${CLOSE}\r\n`, "request-malformed"],
    ["of HTTP/2.0 that is not", `GET / HTTP/2.0\r\n${HOST_LINE}${CLOSE}\r\n`, "request-malformed"],
    ["with a method in lower case", `get / HTTP/1.1\r\n${HOST_LINE}${CLOSE}\r\n`, "request-malformed"],
    ["with a space in the URL", `GET /a b HTTP/1.1\r\n${HOST_LINE}${CLOSE}\r\n`, "request-malformed"],
    ["with tabs between its parts", `GET\t/a\tHTTP/1.1\r\n${HOST_LINE}${CLOSE}\r\n`, "request-malformed"],
    ["with a space in a name", `${GET}X A: b\r\n${CLOSE}\r\n`, "request-malformed"],
    ["with more than ASCII in a name", `${GET}X-\u00e9: b\r\n${CLOSE}\r\n`, "request-malformed"],
    ["with a control character in a value", `${GET}X-A: b\u0001\r\n${CLOSE}\r\n`, "request-malformed"],
    ["with a DEL in a value", `${GET}X-A: b\u007f\r\n${CLOSE}\r\n`, "request-malformed"],
    [
      "with two lengths",
      `${POST}Content-Length: 3\r\nContent-Length: 4\r\n${CLOSE}\r\nabc`,
      "request-malformed",
    ],
    [
      "with one length twice",
      `${POST}Content-Length: 3\r\nContent-Length: 3\r\n${CLOSE}\r\nabc`,
      "request-malformed",
    ],
    ["with a list of lengths", `${POST}Content-Length: 3, 3\r\n${CLOSE}\r\nabc`, "request-malformed"],
    ["with an empty length", `${POST}Content-Length:\r\n${CLOSE}\r\nabc`, "request-malformed"],
    ["with a length and a sign", `${POST}Content-Length: +3\r\n${CLOSE}\r\nabc`, "request-malformed"],
    ["with a length in hexadecimal", `${POST}Content-Length: 0x3\r\n${CLOSE}\r\nabc`, "request-malformed"],
    [
      "with a length beyond any",
      `${POST}Content-Length: 99999999999999999999\r\n${CLOSE}\r\nabc`,
      "request-malformed",
    ],
    [
      "with a length that could be octal",
      `${POST}Content-Length: 010\r\n${CLOSE}\r\n12345678`,
      "framing-refused",
    ],
    [
      "with a length, then chunks",
      `${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n${CLOSE}\r\n0\r\n\r\n`,
      "request-malformed",
    ],
    [
      "with chunks, then a length",
      `${POST}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n${CLOSE}\r\n0\r\n\r\n`,
      "request-malformed",
    ],
    [
      "with chunks twice",
      `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n${CLOSE}\r\n0\r\n\r\n`,
      "request-malformed",
    ],
    [
      "chunked last but one",
      `${POST}Transfer-Encoding: chunked, identity\r\n${CLOSE}\r\n0\r\n\r\n`,
      "request-malformed",
    ],
    ["with the coding identity", `${POST}Transfer-Encoding: identity\r\n${CLOSE}\r\n`, "framing-refused"],
    [
      "with a coding nearly chunked",
      `${POST}Transfer-Encoding: xchunked\r\n${CLOSE}\r\n0\r\n\r\n`,
      "framing-refused",
    ],
    [
      "with chunked in quotes",
      `${POST}Transfer-Encoding: "chunked"\r\n${CLOSE}\r\n0\r\n\r\n`,
      "framing-refused",
    ],
    [
      "with a coding behind a tabulator",
      `${POST}Transfer-Encoding: \u000bchunked\r\n${CLOSE}\r\n0\r\n\r\n`,
      "request-malformed",
    ],
    [
      "with a space before a colon",
      `${POST}Transfer-Encoding : chunked\r\n${CLOSE}\r\n0\r\n\r\n`,
      "request-malformed",
    ],
    // Node 24's parser takes it for no request at all.
    [
      "with an empty coding",
      `${POST}Transfer-Encoding:\r\n${CLOSE}\r\n0\r\n\r\n`,
      "framing-refused|request-malformed",
    ],
    [
      "of HTTP/1.0 with chunks",
      `POST /a HTTP/1.0\r\n${HOST_LINE}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      "framing-refused",
    ],
  ])("%s is refused, and what follows it is no request", async (_what, text, codes) => {
    const site = await serve({ hosts: [HOST] });
    const code = codeOfRaw(await inTunnel(site, text + SMUGGLED));
    expect(codes.split("|")).toContain(code);
    expect(site.reached).toEqual([]);
    expect(await site.egress.waitFor("egress.denied")).toMatchObject([{ code }]);
  });
});

describe("chunks", () => {
  it.each<[string, string]>([
    ["with LF behind a size", "3\nabc\r\n0\r\n\r\n"],
    ["with LF behind the data", "3\r\nabc\n0\r\n\r\n"],
    ["that end in LF", "3\r\nabc\r\n0\n\n"],
    ["with CR behind a size", "3\rabc\r\n0\r\n\r\n"],
    ["with CR behind the data", "3\r\nabc\r0\r\n\r\n"],
    ["with data longer than the size", "3\r\nabcd\r\n0\r\n\r\n"],
    ["with no line break behind the data", "3\r\nabc0\r\n\r\n"],
    ["of a size beyond 64 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n"],
    ["of a size of seventeen digits", "ffffffffffffffff1\r\nabc\r\n0\r\n\r\n"],
    ["of a negative size", "-3\r\nabc\r\n0\r\n\r\n"],
    ["of a size with a sign", "+3\r\nabc\r\n0\r\n\r\n"],
    ["of a size with a prefix", "0x3\r\nabc\r\n0\r\n\r\n"],
    ["of a size with an underscore", "1_0\r\nabc\r\n0\r\n\r\n"],
    ["of a size with a space behind it", "3 \r\nabc\r\n0\r\n\r\n"],
    ["of a size with a space before it", " 3\r\nabc\r\n0\r\n\r\n"],
    ["of a size with a tabulator behind it", "3\t\r\nabc\r\n0\r\n\r\n"],
    ["of no size", "\r\nabc\r\n0\r\n\r\n"],
    ["of an empty size with an extension", ";x\r\nabc\r\n0\r\n\r\n"],
    ["with LF behind an extension", "3;x\nabc\r\n0\r\n\r\n"],
    ["with an extension without a name", "3;\r\nabc\r\n0\r\n\r\n"],
    ["with a line break in an extension's quotes", '3;x="a\r\nb"\r\nabc\r\n0\r\n\r\n'],
    ["with a length among the trailers", "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"],
    ["with a coding among the trailers", "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["with a trailer that is none", "3\r\nabc\r\n0\r\nX A b\r\n\r\n"],
    ["with a folded trailer", "3\r\nabc\r\n0\r\nX-A: b\r\n c\r\n\r\n"],
  ])("%s are refused, and what follows them is no request", async (_what, body) => {
    const site = await serve({ hosts: [HOST] });
    expect(codeOfRaw(await inTunnel(site, CHUNKED + body + SMUGGLED))).toBe("framing-refused");
    expect(site.reached).toEqual([]);
    expect(await site.egress.waitFor("egress.denied")).toMatchObject([{ code: "framing-refused" }]);
  });

  it("of endless extensions are refused", async () => {
    const site = await serve({ hosts: [HOST] });
    const body = `3;x=${"y".repeat(40_000)}\r\nabc\r\n0\r\n\r\n`;
    expect(codeOfRaw(await inTunnel(site, CHUNKED + body))).toBe("framing-refused");
    expect(site.reached).toEqual([]);
  });

  it.each<[string, string]>([
    ["extensions", '3;x;y=z;q="w"\r\nabc\r\n0;last\r\n\r\n'],
    ["trailers", "3\r\nabc\r\n0\r\nX-Trailer: b\r\nHost: evil.test\r\n\r\n"],
    ["leading zeros", "0000003\r\nabc\r\n0\r\n\r\n"],
  ])("with %s are cut anew: only the data goes on", async (_what, body) => {
    const site = await serve({ hosts: [HOST] });
    expect(codeOfRaw(await inTunnel(site, CHUNKED + body))).toBe("HTTP/1.1 200 OK");
    expect(site.reached).toMatchObject([{ body: "abc", host: HOST }]);
    expect(site.reached[0]?.rawHeaders.join().toLowerCase()).not.toContain("trailer");
  });

  it("that go wrong after the answer has begun end the connection", async () => {
    const site = await serve({ hosts: [{ host: HOST, matches: [{ methods: ["GET"] }] }] });
    const answer = await inTunnel(site, `${CHUNKED}3\r\nabc\r\n-1\r\n${SMUGGLED}`);
    expect(codeOfRaw(answer)).toBe("method-not-allowed");
    expect(site.reached).toEqual([]);
  });
});

describe("a pair for smuggling", () => {
  const inner = `GET /smuggled HTTP/1.1\r\n${HOST_LINE}X: `;
  it.each<[string, string]>([
    ["CL.TE", `${POST}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG`],
    ["TE.CL", `${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nG\r\n0\r\n\r\n`],
    ["TE.TE", `${POST}Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n${inner}`],
    [
      "TE.0",
      `OPTIONS / HTTP/1.1\r\n${HOST_LINE}Transfer-Encoding: chunked\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
    ],
    ["CL.0", `${POST}Content-Length: ${inner.length}\r\n\r\n${inner}`],
    ["0.CL", `GET /a HTTP/1.1\r\n${HOST_LINE}Content-Length: ${inner.length}\r\n\r\n${inner}`],
    ["Content_Length", `${POST}Content_Length: 0\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`],
    ["Expect", `${POST}Expect: y 100-continue\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`],
    [
      "a nominated length",
      `${POST}Connection: Content-Length\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
    ],
  ])("(%s) makes no second request", async (_what, text) => {
    const site = await serve({ hosts: [HOST] });
    await inTunnel(site, `${text}GET /after HTTP/1.1\r\n${HOST_LINE}${CLOSE}\r\n`);
    expect(site.reached.filter(({ url }) => url === "/smuggled")).toEqual([]);
    for (const { body, method } of site.reached) {
      if (method !== "GET" || body !== "") expect(body).toContain("smuggled");
    }
  });
});

describe("outside a tunnel", () => {
  it.each<[string, string, string]>([
    ["a folded line", `GET http://${HOST}/ HTTP/1.1\r\n${HOST_LINE}X: a\r\n b\r\n\r\n`, "request-malformed"],
    ["HTTP/0.9", `GET http://${HOST}/\r\n\r\n`, "request-malformed"],
    [
      "bad chunks",
      `POST http://${HOST}/ HTTP/1.1\r\n${HOST_LINE}Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n`,
      "framing-refused",
    ],
  ])("%s is refused alike", async (_what, text, code) => {
    const site = await serve({ hosts: [HOST], scheme: "http" });
    expect(codeOfRaw(await exchangeRaw(site.egress.port, text))).toBe(code);
    expect(site.reached).toEqual([]);
  });
});

describe("an expectation that nobody knows", () => {
  it("is passed over, and what stands behind its request is not taken for a second answer", async () => {
    const site = await serve({ hosts: [HOST] });
    expect(await inTunnel(site, `${GET}Expect: a-miracle\r\n\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
    const upgrade = `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
    await inTunnel(site, `${GET}Expect: a-miracle\r\n\r\n${upgrade}`);
    expect(await inTunnel(site, `${GET}${CLOSE}\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
  });
});

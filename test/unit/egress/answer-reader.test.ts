import { request } from "node:http";
import { Duplex } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnswerReader } from "../../../src/sidecars/egress/upstream/answer-reader.ts";

interface Read {
  status: number;
  phrase: string;
  headers: readonly string[];
  body: string;
  trailers: readonly string[];
  /** Whole, refused, or still to come. */
  state: "whole" | "refused" | "open" | "switched";
  /** Something stood behind it. */
  hasMore: boolean;
}

/** What is made of bytes that come in these pieces, and of the connection's end behind them. */
function read(pieces: readonly Buffer[], { method = "GET", ends = true } = {}): Read {
  const got: Read = {
    status: 0,
    phrase: "",
    headers: [],
    body: "",
    trailers: [],
    state: "open",
    hasMore: false,
  };
  const reader = new AnswerReader({
    head: ({ head, rawHeaders }) =>
      Object.assign(got, { status: head.status, phrase: head.phrase, headers: rawHeaders }),
    body: (bytes) => {
      got.body += bytes.toString("latin1");
    },
    end: (trailers) => Object.assign(got, { trailers, state: "whole" }),
    switched: (headers, rest) =>
      Object.assign(got, { state: "switched", headers, body: rest.toString("latin1") }),
    refused: () => {
      if (got.state === "open") got.state = "refused";
      else got.hasMore = true;
    },
  });
  reader.expect(method);
  for (const piece of pieces) reader.push(piece);
  if (ends) reader.close();
  return got;
}

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const cut = (text: string, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, i) =>
    bytes(text.slice(i * size, (i + 1) * size)),
  );

const OK = "HTTP/1.1 200 OK\r\n";

/** Everything there is to read, in one answer after the other. */
const PROPER: readonly [string, string, Partial<Read>][] = [
  ["a length", `${OK}Content-Length: 5\r\nX-A:  b c \t\r\n\r\nhello`, { body: "hello" }],
  ["a length of nothing", `${OK}Content-Length: 0\r\n\r\n`, { body: "" }],
  ["the connection's end", `${OK}X: y\r\n\r\nuntil the end`, { body: "until the end" }],
  ["no headers", `${OK}\r\nx`, { body: "x", headers: [] }],
  ["no phrase", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", { body: "x", phrase: "" }],
  ["HTTP/1.0", "HTTP/1.0 404 Not Here\r\n\r\nx", { status: 404, phrase: "Not Here", body: "x" }],
  [
    "chunks",
    `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0a\r\n0123456789\r\n0\r\n\r\n`,
    { body: "hello0123456789" },
  ],
  [
    "chunks with extensions and trailers",
    `${OK}transfer-encoding: Chunked\r\n\r\n3;a=b;c\r\nabc\r\n000;x\r\nX-T: 1\r\nX-U:\r\n\r\n`,
    { body: "abc", trailers: ["X-T", "1", "X-U", ""] },
  ],
  [
    "informational answers before it",
    `${"HTTP/1.1 100 Continue\r\n\r\n".repeat(50)}HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n${OK}Content-Length: 1\r\n\r\nx`,
    { status: 200, body: "x" },
  ],
  ["no body where there is none", "HTTP/1.1 204 No\r\n\r\n", { status: 204, body: "" }],
  [
    "a length that is none where there is no body",
    "HTTP/1.1 304 Same\r\nContent-Length: 7\r\n\r\n",
    { body: "" },
  ],
];

const IMPROPER: readonly [string, string][] = [
  ["no HTTP", "220 smtp.example.test ESMTP\r\n"],
  ["an empty line before it", `\r\n${OK}Content-Length: 0\r\n\r\n`],
  ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a version with more digits", "HTTP/1.10 200 OK\r\n\r\n"],
  ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"],
  ["a status that begins with 0", "HTTP/1.1 099 OK\r\n\r\n"],
  ["a control character in its phrase", "HTTP/1.1 200 O\x07K\r\n\r\n"],
  ["LF alone behind its first line", "HTTP/1.1 200 OK\nX: y\r\n\r\n"],
  ["LF alone behind a field", `${OK}X: y\nZ: w\r\n\r\n`],
  ["LF alone behind its head", `${OK}X: y\r\n\n`],
  ["CR alone in a field", `${OK}X: y\rZ: w\r\n\r\n`],
  ["NUL in a field", `${OK}X: y\0\r\n\r\n`],
  ["a folded line", `${OK}X: a\r\n b\r\n\r\n`],
  ["a blank before the colon", `${OK}X : a\r\n\r\n`],
  ["a line without colon", `${OK}nonsense\r\n\r\n`],
  ["a field without name", `${OK}: a\r\n\r\n`],
  ["two lengths", `${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
  ["a length and chunks", `${OK}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["a length in another spelling", `${OK}Content_Length: 1\r\n\r\na`],
  ["chunks in another spelling", `${OK}Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["a length with a sign", `${OK}Content-Length: +1\r\n\r\na`],
  ["two lengths in one", `${OK}Content-Length: 1, 1\r\n\r\na`],
  ["a length that no number holds", `${OK}Content-Length: 99999999999999999999\r\n\r\na`],
  ["another transfer coding", `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ["chunks twice", `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["an endless head", `${OK}${`X: ${"y".repeat(1000)}\r\n`.repeat(100)}`],
  ["headers without number", `${OK}${"X: y\r\n".repeat(10_000)}\r\n`],
  ["a length in an informational answer", `HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n${OK}\r\n`],
  ["informational answers without number", "HTTP/1.1 100 Continue\r\n\r\n".repeat(200)],
  ...[
    ["a size of nothing", "\r\nabc\r\n0\r\n\r\n"],
    ["a size that is none", "g\r\nabc\r\n0\r\n\r\n"],
    ["a size with a sign", "+3\r\nabc\r\n0\r\n\r\n"],
    ["a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"],
    ["a blank behind a size", "3 \r\nabc\r\n0\r\n\r\n"],
    ["a blank before a size", " 3\r\nabc\r\n0\r\n\r\n"],
    ["LF alone behind a size", "3\nabc\r\n0\r\n\r\n"],
    ["CR alone behind a size", "3\rabc\r\n0\r\n\r\n"],
    ["LF alone behind a chunk", "3\r\nabc\n0\r\n\r\n"],
    ["more behind a chunk than there is", "3\r\nabcd\r\n0\r\n\r\n"],
    ["a size that no number holds", `${"f".repeat(20)}\r\nabc`],
    ["an extension that is none", "3;a b\r\nabc\r\n0\r\n\r\n"],
    ["an endless extension", `3;${"x".repeat(2000)}\r\nabc\r\n0\r\n\r\n`],
    ["a trailer that is none", "0\r\nnonsense\r\n\r\n"],
    ["a folded trailer", "0\r\nX: a\r\n b\r\n\r\n"],
    ["a length in trailers", "0\r\nContent-Length: 5\r\n\r\n"],
    ["long trailers", `0\r\n${`X: ${"y".repeat(1000)}\r\n`.repeat(100)}\r\n`],
    ["endless trailers", `0\r\n${"X: y\r\n".repeat(20_000)}`],
  ].map(([what, rest]): [string, string] => [
    `${what}, in chunks`,
    `${OK}Transfer-Encoding: chunked\r\n\r\n${rest}`,
  ]),
];

describe("an upstream's answer", () => {
  it.each(PROPER)("with %s is read, in whatever pieces it comes", (_what, text, expected) => {
    for (const size of [1, 2, 3, 7, text.length])
      expect(read(cut(text, size))).toMatchObject({ state: "whole", ...expected });
  });

  it.each(IMPROPER)(
    "with %s is none, in whatever pieces it comes, and before the connection ends",
    (_what, text) => {
      for (const size of [1, 5, text.length])
        expect(read(cut(text, size), { ends: false }).state).toBe("refused");
    },
  );

  it("to HEAD has no body, whatever it says", () => {
    const text = `${OK}Content-Length: 5\r\n\r\n`;
    expect(read([bytes(text)], { method: "HEAD", ends: false })).toMatchObject({ state: "whole", body: "" });
  });

  it("that changes the protocol is over with its head: what follows is handed on", () => {
    const text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 not any more";
    expect(read([bytes(text), bytes("nor this")])).toMatchObject({
      ...{ state: "switched", headers: ["Upgrade", "websocket"], body: "HTTP/1.1 not any more" },
    });
  });

  it.each([
    ["its head", "HTTP/1.1 200 OK\r\nX: y\r\n"],
    ["a stated length", `${OK}Content-Length: 5\r\n\r\nhell`],
    ["a chunk", `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhell`],
    ["its chunks", `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`],
    ["its trailers", `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n`],
  ])("that ends in the middle of %s is not whole", (_what, text) => {
    expect(read([bytes(text)]).state).toBe("open");
  });

  it("is followed by nothing: what stands behind it is not the next one's", () => {
    let isRefused = false;
    let bodies = "";
    const reader = new AnswerReader({
      head: () => {},
      body: (part) => {
        bodies += part.toString();
      },
      end: () => {},
      switched: () => {},
      refused: () => {
        isRefused = true;
      },
    });
    reader.expect("GET");
    reader.push(bytes(`${OK}Content-Length: 1\r\n\r\na${OK}Content-Length: 1\r\n\r\nb`));
    expect({ isRefused, bodies }).toEqual({ isRefused: true, bodies: "a" });
  });

  it("reads as node's own parser reads it, wherever that takes it for one", async () => {
    const piece = fc.constantFrom(
      ...[
        "HTTP/1.1 200 OK",
        "HTTP/1.0 200",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        " ",
        ":",
        ";",
        "\t",
        "\0",
        "a",
        "5",
      ],
      ...[
        "X-A: b",
        "Content-Length: 5",
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "Connection: close",
      ],
      ...["hello", "5\r\nhello\r\n", "0\r\n\r\n", "3;x\r\nabc\r\n", "0\r\nX-T: 1\r\n\r\n"],
    );
    const answer = fc
      .tuple(
        fc.constantFrom(...PROPER.map(([, text]) => text)),
        fc.array(fc.tuple(fc.nat(200), fc.nat(4), piece), { maxLength: 4 }),
      )
      .map(([text, edits]) =>
        edits.reduce((all, [at, gone, put]) => all.slice(0, at) + put + all.slice(at + gone), text),
      );
    await fc.assert(
      fc.asyncProperty(answer, fc.integer({ min: 1, max: 40 }), async (text, size) => {
        const own = read(cut(text, size));
        if (own.state !== "whole" || own.hasMore) return;
        const theirs = await nodeReads(bytes(text));
        expect(theirs).toEqual({
          status: own.status,
          headers: [...own.headers],
          body: own.body,
          trailers: [...own.trailers],
        });
      }),
      { numRuns: 400 },
    );
  });
});

describe("a body in chunks of a byte", () => {
  it("is told once for what came at once: each telling takes memory until the guest has read it", () => {
    const told: string[] = [];
    const reader = new AnswerReader({
      head: () => told.push("head"),
      body: (bytes) => told.push(bytes.toString("latin1")),
      end: () => told.push("end"),
      switched: () => told.push("switched"),
      refused: () => told.push("refused"),
    });
    reader.expect("GET");
    const chunked = (text: string): string => [...text].map((byte) => `1\r\n${byte}\r\n`).join("");
    reader.push(bytes(`${OK}Transfer-Encoding: chunked\r\n\r\n${chunked("first")}1\r`));
    reader.push(bytes(`\n!\r\n${chunked("second")}0\r\n\r\n`));
    expect(told).toEqual(["head", "first", "!second", "end"]);
    reader.expect("GET");
    reader.push(bytes(`${OK}Transfer-Encoding: chunked\r\n\r\n${chunked("third")}x\r\n`));
    expect(told.slice(4)).toEqual(["head", "third", "refused"]);
  });
});

/** What node's HTTP client makes of it. */
function nodeReads(answer: Buffer): Promise<unknown> {
  return new Promise((resolve) => {
    const socket = new Duplex({
      read() {},
      write(_chunk, _encoding, done) {
        this.push(answer);
        this.push(null);
        done();
      },
    });
    const asked = request({ createConnection: () => socket, headers: { host: "a.test" } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", (error) => resolve(String(error)));
      response.on("end", () =>
        resolve({
          status: response.statusCode,
          headers: response.rawHeaders,
          body: Buffer.concat(chunks).toString("latin1"),
          trailers: response.rawTrailers,
        }),
      );
    });
    asked.on("error", (error) => resolve(String(error)));
    asked.end();
  });
}

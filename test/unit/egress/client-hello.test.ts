import { once } from "node:events";
import { connect as connectTcp, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { readHello } from "../../../src/sidecars/egress/tls/client-hello.ts";

/** What a real client sends first. */
async function greeting(servername: string | undefined): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const socket = connectTcp(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1");
  const tls = connectTls({ socket, ...(servername && { servername }) });
  tls.on("error", () => {});
  const [accepted] = (await once(server, "connection")) as [import("node:net").Socket];
  accepted.on("error", () => {});
  const [bytes] = (await once(accepted, "data")) as [Buffer];
  tls.destroy();
  accepted.destroy();
  server.close();
  return bytes;
}

/** The same handshake message, cut into records of `size` bytes. */
function refragmented(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 0xff]), part);
  }
  return Buffer.concat(records);
}

let hello: Buffer;
beforeAll(async () => {
  hello = await greeting("named.example");
});

describe("a ClientHello", () => {
  it("tells the server's name", () => {
    expect(readHello(hello)).toEqual({ kind: "hello", serverName: "named.example", encrypted: false });
  });

  it("tells that it names nobody", async () => {
    const nameless = await greeting(undefined);
    expect(readHello(nameless)).toMatchObject({ kind: "hello", serverName: undefined });
  });

  it("is incomplete at every byte before its last", () => {
    for (let length = 0; length < hello.length; length++) {
      expect(readHello(hello.subarray(0, length))).toEqual({ kind: "incomplete" });
    }
  });

  it("may be spread over records, and be followed by more", () => {
    for (const size of [1, 3, 4, 100]) {
      const bytes = Buffer.concat([refragmented(hello, size), Buffer.from("more")]);
      expect(readHello(bytes)).toMatchObject({ kind: "hello", serverName: "named.example" });
    }
  });

  it("with two names is none", () => {
    const at = hello.indexOf("named.example");
    // The list of names has its length twice before it: make room for a second entry in all of them.
    const entry = Buffer.concat([Buffer.from([0, 0, 4]), Buffer.from("evil")]);
    const twice = Buffer.concat([hello.subarray(0, at + 13), entry, hello.subarray(at + 13)]);
    for (const offset of [at - 5, at - 7])
      twice.writeUInt16BE(twice.readUInt16BE(offset) + entry.length, offset);
    twice.writeUInt16BE(twice.readUInt16BE(3) + entry.length, 3);
    twice.writeUIntBE(twice.readUIntBE(6, 3) + entry.length, 6, 3);
    const extensions = extensionsAt(twice);
    twice.writeUInt16BE(twice.readUInt16BE(extensions) + entry.length, extensions);
    expect(readHello(twice)).toEqual({ kind: "not-tls" });
  });

  it.each([
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["an old record version", Buffer.from([22, 2, 0, 0, 1, 1])],
    ["another record type", Buffer.from([23, 3, 3, 0, 1, 1])],
    ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
    ["an oversized record", Buffer.from([22, 3, 1, 0xff, 0xff])],
    ["another handshake message", Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    ["a message that is too short", Buffer.from([22, 3, 1, 0, 5, 1, 0, 0, 1, 3])],
  ])("is not %s", (_what, bytes) => {
    expect(readHello(bytes)).toEqual({ kind: "not-tls" });
  });

  it("never takes hostile bytes for more than they are", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: hello.length - 1 }), fc.nat({ max: 255 })), { maxLength: 6 }),
        fc.nat({ max: hello.length }),
        (changes, length) => {
          const bytes = Buffer.from(hello);
          for (const [at, value] of changes) bytes[at] = value;
          const result = readHello(bytes.subarray(0, length));
          expect(["incomplete", "not-tls", "hello"]).toContain(result.kind);
        },
      ),
      { numRuns: 3_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        readHello(Buffer.from([22, 3, 1, ...bytes]));
      }),
      { numRuns: 2_000 },
    );
  });
});

function extensionsAt(bytes: Buffer): number {
  let at = 5 + 4 + 2 + 32;
  at += 1 + (bytes[at] ?? 0);
  at += 2 + bytes.readUInt16BE(at);
  return at + 1 + (bytes[at] ?? 0);
}

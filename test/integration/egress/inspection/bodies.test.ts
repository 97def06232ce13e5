/** Bodies that are packed, long, slow, broken off, masked or lied about. What arrived at the upstream is what counts. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { READS_ZSTD } from "../../../../src/lib/zstd.ts";
import { curl, openTunnel, readHead, until } from "../../../support/egress.ts";
import {
  ask,
  askHttp2,
  BOUND,
  CANARY,
  HOST,
  inspectedSites,
  KNOWN,
  leaksIn,
  OTHER,
  openHttp2,
  PATTERN,
  prose,
  requestBytes,
  SECRETS,
  told,
} from "../../../support/inspected-site.ts";
import { zstd } from "../../../support/zstd.ts";

const { serve, onEnd } = inspectedSites();

const PACKINGS = [
  ["gzip", gzipSync],
  ["x-gzip", gzipSync],
  ["deflate", deflateSync],
  ["deflate", deflateRawSync],
  ["br", brotliCompressSync],
  ...(READS_ZSTD ? [["zstd", zstd.pack] as const] : []),
] as const;
const MB = 1024 * 1024;

describe.each(PACKINGS)("a body in %s (%o)", (coding, pack) => {
  it("is looked into, and leaves as what it means", async () => {
    const site = await serve();
    const headers = [`Content-Encoding: ${coding}`, "Content-Type: application/json"];
    for (const { value, code } of SECRETS) {
      const packed = pack(Buffer.from(`{"note": "${value}"}`));
      expect((await ask(site, { headers, body: packed })).denied?.code).toBe(code);
      expect(
        (await ask(site, { headers, chunks: [packed.subarray(0, 5), packed.subarray(5)] })).denied?.code,
      ).toBe(code);
    }
    expect(site.wire()).toHaveLength(0);
    const plain = prose(3000);
    expect((await ask(site, { headers, body: pack(plain) })).status).toBe(200);
    expect(site.arrived[0]?.body.equals(plain)).toBe(true);
    expect(site.arrived[0]?.header("content-encoding")).toBeUndefined();
    expect(site.arrived[0]?.header("content-length")).toBe("3000");
    expect(site.arrived[0]?.header("content-type")).toBe("application/json");
  });

  it("is refused when it is not that, or breaks off", async () => {
    const site = await serve();
    const headers = [`Content-Encoding: ${coding}`];
    const packed = pack(randomBytes(3000));
    for (const body of ["{}{}{}{}{}{}{}{}", packed.subarray(0, packed.length - 20), Buffer.alloc(50, 0xff)]) {
      const answer = await ask(site, { headers, body });
      expect(answer.denied?.code).toBe("encoding-refused");
      expect(answer.status).toBe(415);
    }
    expect(site.wire()).toHaveLength(0);
  });

  it("that is long streams, and a secret late in it ends the request before its end", async () => {
    const site = await serve();
    const headers = [`Content-Encoding: ${coding}`];
    const whole = await ask(site, { headers, body: pack(prose(3 * MB)) });
    expect(whole.status).toBe(200);
    expect(site.arrived[0]?.body.equals(prose(3 * MB))).toBe(true);
    const late = await ask(site, { headers, body: pack(Buffer.concat([prose(3 * MB), Buffer.from(KNOWN)])) });
    expect(late.denied?.code).toBe("secret-found");
    expect(site.arrived).toHaveLength(1);
    expect(leaksIn(site.wire())).toEqual([]);
  });
});

describe("a Content-Encoding", () => {
  const packed = gzipSync(`{"note": "${KNOWN}"}`);

  it.each<readonly [string, readonly string[]]>([
    ["unknown", ["Content-Encoding: compress"]],
    ...(READS_ZSTD ? [] : [["what this Node cannot read", ["Content-Encoding: zstd"]] as const]),
    ["double", ["Content-Encoding: gzip, gzip"]],
    ["of two headers", ["Content-Encoding: gzip", "Content-Encoding: br"]],
    ["of two headers that are the same", ["Content-Encoding: gzip", "Content-Encoding: gzip"]],
    ["in two spellings of its name", ["Content-Encoding: gzip", "Content_Encoding: deflate"]],
    ["made up", ["Content-Encoding: gzip;q=1"]],
    ["with quotes", ['Content-Encoding: "gzip"']],
  ])("that is %s is refused", async (_what, headers) => {
    const site = await serve();
    const answer = await ask(site, { headers, body: packed });
    expect(answer.denied?.code).toBe("encoding-refused");
    expect(answer.status).toBe(415);
    expect(site.wire()).toHaveLength(0);
    const session = await openHttp2(site);
    onEnd(() => session.destroy());
    const pairs = headers.map((line) => line.toLowerCase().split(": "));
    // Its library lets no client send the same twice.
    if (new Set(pairs.map(([name]) => name)).size < pairs.length) return;
    const given = Object.fromEntries(
      pairs.map(([name = ""]) => [
        name,
        pairs.filter(([other]) => other === name).map(([, value = ""]) => value),
      ]),
    );
    const over2 = await askHttp2(session, { ":method": "POST", ...given }, packed);
    expect(over2.denied?.code).toBe("encoding-refused");
    expect(site.wire()).toHaveLength(0);
  });

  it.each([
    ["in another spelling of its name", ["Content_Encoding: gzip"]],
    ["in capitals", ["CONTENT-ENCODING: GZIP"]],
    ["that says identity besides", ["Content-Encoding: identity, gzip"]],
    ["that is about this connection only", ["Connection: content-encoding, close", "Content-Encoding: gzip"]],
  ])("%s is seen, and undone", async (_what, headers) => {
    const site = await serve();
    expect((await ask(site, { headers, body: packed })).denied?.code).toBe("secret-found");
    expect((await ask(site, { headers, body: gzipSync("harmless") })).status).toBe(200);
    expect(site.arrived.map(({ body }) => body.toString())).toEqual(["harmless"]);
    expect(site.arrived[0]?.rawHeaders.join().toLowerCase()).not.toMatch(/content.encoding/);
  });

  it("hides nothing behind the end of what is packed, and nothing in a second member", async () => {
    const site = await serve();
    const headers = ["Content-Encoding: gzip"];
    const members = Buffer.concat([gzipSync("one "), gzipSync(KNOWN)]);
    expect((await ask(site, { headers, body: members })).denied?.code).toBe("secret-found");
    await ask(site, { headers, body: Buffer.concat([gzipSync("one "), Buffer.from(KNOWN)]) });
    expect(leaksIn(site.wire())).toEqual([]);
  });

  it.runIf(READS_ZSTD)(
    "hides nothing in a second frame, behind the last one, or in what wants much memory",
    async () => {
      const site = await serve();
      const headers = ["Content-Encoding: zstd"];
      const secret = Buffer.from(KNOWN);
      const frames = Buffer.concat([zstd.pack(Buffer.from("one ")), zstd.pack(secret)]);
      expect((await ask(site, { headers, body: frames })).denied?.code).toBe("secret-found");
      for (const body of [
        Buffer.concat([zstd.pack(Buffer.from("one ")), secret]),
        await zstd.withWindow(27, prose(100_000)),
      ])
        expect((await ask(site, { headers, body })).denied?.code).toBe("encoding-refused");
      expect(site.wire()).toHaveLength(0);
      const honest = Buffer.concat([zstd.pack(prose(3000)), zstd.pack(prose(500))]);
      expect((await ask(site, { headers, body: honest })).status).toBe(200);
      expect(site.arrived[0]?.body.equals(Buffer.concat([prose(3000), prose(500)]))).toBe(true);
    },
  );

  it("of a body that is not there is nobody's concern", async () => {
    const site = await serve();
    expect((await ask(site, { headers: ["Content-Encoding: gzip"], chunks: [] })).status).toBe(200);
    expect((await ask(site, { headers: ["Content-Encoding: gzip"], body: "" })).status).toBe(200);
  });
});

describe("a bomb", () => {
  it("is refused at the bound, and the upstream never sees its end", async () => {
    const site = await serve({ limits: { inflatedBytes: 4 * MB } });
    const answer = await ask(site, { headers: ["Content-Encoding: gzip"], body: gzipSync(prose(20 * MB)) });
    expect(answer.denied?.code).toBe("body-too-large");
    expect(answer.status).toBe(413);
    expect(site.arrived).toEqual([]);
    expect(site.wire().length).toBeLessThan(6 * MB);
  });
});

describe("a long body", () => {
  /** Where the secret is put, of five megabytes. */
  const PLACES = [600_000, 1_048_570, 2 * 262_144 - 10, 3 * MB, 5 * MB - 60];

  it.each(SECRETS)(
    "with a $kind in it never comes to its end, whatever had left before",
    async ({ value, code }) => {
      const site = await serve();
      for (const place of PLACES) {
        const body = prose(5 * MB);
        body.write(`"${value}"`, place);
        const answer = await ask(site, { body });
        expect(answer.denied?.code, String(place)).toBe(code);
        const chunks: Buffer[] = [];
        for (let at = 0; at < body.length; at += 99_991) chunks.push(body.subarray(at, at + 99_991));
        expect((await ask(site, { chunks })).denied?.code).toBe(code);
      }
      await until(() => site.upstream.open() === 0);
      expect(site.arrived).toEqual([]);
      expect(leaksIn(site.wire())).toEqual([]);
      expect(leaksIn(told(site))).toEqual([]);
    },
  );

  it("arrives as it is, of a stated length, in chunks, and over HTTP/2", async () => {
    const site = await serve();
    const body = randomBytes(3 * MB);
    expect((await ask(site, { body })).status).toBe(200);
    expect((await ask(site, { chunks: [body.subarray(0, MB), body.subarray(MB)] })).status).toBe(200);
    const session = await openHttp2(site);
    onEnd(() => session.destroy());
    expect((await askHttp2(session, { ":method": "PUT" }, body)).status).toBe(200);
    expect(site.arrived.map((one) => one.body.equals(body))).toEqual([true, true, true]);
    expect(site.arrived[0]?.header("content-length")).toBe(String(body.length));
    expect(site.arrived[1]?.header("transfer-encoding")).toBe("chunked");
  });

  it("begins to arrive before it is whole; a short one does not", async () => {
    const site = await serve();
    const tls = await openTunnel(site.egress, HOST);
    onEnd(() => tls.destroy());
    tls.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${4 * MB}\r\n\r\n`);
    tls.write(prose(400_000));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(site.begun).toBe(0);
    tls.write(prose(600_000));
    await until(() => site.begun === 1 && site.wire().length > 500_000);
    tls.write(prose(4 * MB - 1_000_000));
    expect(await readHead(tls)).toContain("200 OK");
  });
});

describe("redact", () => {
  const inspection = { onMatch: "redact" } as const;

  it("sends JSON on with the same mask for the same value, in the same length, and says so once each", async () => {
    const site = await serve({ inspection });
    const conversation = (turns: number): string =>
      JSON.stringify({
        messages: Array.from({ length: turns }, (_, i) => ({
          role: "user",
          content: `turn ${i}: use ${PATTERN}.\n`,
        })),
      });
    for (const turns of [1, 2, 3]) expect((await ask(site, { body: conversation(turns) })).status).toBe(200);
    const masks = site.arrived.map(({ body }) => {
      const { messages } = JSON.parse(body.toString()) as { messages: { content: string }[] };
      return messages.map(({ content }) => /use (.*)\.\n$/.exec(content)?.[1]);
    });
    const [[mask]] = masks as [[string]];
    expect(mask).toMatch(/^MASKEDgithubtoken[0-9a-f]+$/);
    expect(mask).toHaveLength(PATTERN.length);
    expect(masks).toEqual([[mask], [mask, mask], [mask, mask, mask]]);
    expect(site.arrived[0]?.header("content-length")).toBe(String(Buffer.byteLength(conversation(1))));
    expect(leaksIn(site.wire())).toEqual([]);
    const events = await site.egress.waitFor("egress.masked", 6);
    expect(events[0]).toMatchObject({
      target: `POST https://${HOST}/`,
      detector: "github-token",
      through: [],
    });
    expect(new Set(events.map(({ finding }) => finding)).size).toBe(1);
    expect(leaksIn(told(site))).toEqual([]);
  });

  it("masks in every framing, packing and length: framing stays right, and nothing else changes", async () => {
    const site = await serve({ inspection });
    const long = prose(2 * MB);
    for (const place of [10, 262_130, 524_280, 1_500_000]) long.write(PATTERN, place);
    await ask(site, { body: long });
    await ask(site, { chunks: [long.subarray(0, 262_140), long.subarray(262_140)] });
    await ask(site, { headers: ["Content-Encoding: gzip"], body: gzipSync(long) });
    const session = await openHttp2(site);
    onEnd(() => session.destroy());
    await askHttp2(session, { ":method": "POST" }, long);
    expect(site.arrived).toHaveLength(4);
    for (const { body } of site.arrived) {
      expect(body).toHaveLength(long.length);
      const text = body.toString();
      expect(text.match(/MASKEDgithubtoken/g)).toHaveLength(4);
      expect(text.slice(0, 10)).toBe(long.toString("utf8", 0, 10));
      expect(text.slice(10 + PATTERN.length, 200)).toBe(long.toString("utf8", 10 + PATTERN.length, 200));
    }
    expect(leaksIn(site.wire())).toEqual([]);
  });

  it("masks what is encoded, so that it decodes to nothing", async () => {
    const site = await serve({ inspection });
    const packed = Buffer.from(`see ${PATTERN} there`).toString("base64");
    await ask(site, { body: JSON.stringify({ file: packed }) });
    const { file } = JSON.parse(site.arrived[0]?.body.toString() ?? "") as { file: string };
    expect(file).toHaveLength(packed.length);
    expect(Buffer.from(file, "base64").toString("latin1")).not.toContain(PATTERN.slice(4, 20));
  });

  it("is no way out for what is known, nor outside of bodies, nor for a text that was not read to its end", async () => {
    const site = await serve({ inspection });
    expect((await ask(site, { body: `${PATTERN} ${KNOWN}` })).denied?.code).toBe("secret-found");
    expect((await ask(site, { body: CANARY })).denied?.code).toBe("canary-found");
    expect((await ask(site, { method: "GET", path: `/x?y=${PATTERN}` })).denied?.code).toBe("secret-found");
    expect((await ask(site, { method: "GET", headers: [`X-A: ${PATTERN}`] })).denied?.code).toBe(
      "secret-found",
    );
    expect(site.wire()).toHaveLength(0);
  });
});

describe("ask", () => {
  it("refuses, and says that the operator has to allow it", async () => {
    const site = await serve({ inspection: { onMatch: "ask" } });
    const answer = await ask(site, { body: PATTERN });
    expect(answer.denied).toMatchObject({
      code: "secret-found",
      reason: expect.stringContaining("the operator has to allow it") as string,
      ask: { tool: "request_exception", arguments: { detector: "github-token", host: HOST } },
    });
    expect(site.wire()).toHaveLength(0);
  });
});

describe("a value that is bound to a host", () => {
  it("may go there: in a header, the path, the query, a body, in any of them with others, and encoded", async () => {
    const site = await serve();
    const basic = Buffer.from(`user:${BOUND}`).toString("base64");
    const requests = [
      { method: "GET", headers: [`Authorization: Bearer ${BOUND}`] },
      { method: "GET", headers: [`Authorization: Basic ${basic}`] },
      { method: "GET", headers: [`X-Api-Key: ${BOUND}`, "X-App: cli", "X-Env: test7"] },
      { method: "GET", headers: ["X-App: cli", `X-Api-Key: ${BOUND}`, `X-Again: ${BOUND}`] },
      { method: "GET", path: `/bot${BOUND}/getMe` },
      { method: "GET", path: `/x?access_token=${BOUND}&next=77aa` },
      { body: JSON.stringify({ token: BOUND }) },
      { body: Buffer.concat([prose(2 * MB), Buffer.from(BOUND), prose(MB)]) },
    ];
    for (const request of requests) {
      const answer = await ask(site, request);
      expect(answer.denied, JSON.stringify(request).slice(0, 200)).toBeUndefined();
      expect(answer.status).toBe(200);
    }
    expect(site.arrived).toHaveLength(requests.length);
    await site.egress.waitFor("egress.allowed", requests.length);
    // It may go there; the log is no such place.
    expect(told(site)).not.toContain(BOUND);
  });

  it("goes nowhere else, and takes nothing with it", async () => {
    const site = await serve();
    for (const request of [
      { method: "GET", headers: [`Authorization: Bearer ${BOUND}`] },
      { method: "GET", path: `/bot${BOUND}/getMe` },
      { body: JSON.stringify({ token: BOUND }) },
    ]) {
      expect((await ask(site, { host: OTHER, ...request })).denied?.rule).toMatch(/^BOUND_TOKEN: /);
    }
    expect((await ask(site, { body: `${BOUND}${KNOWN}` })).denied?.rule).toMatch(/^DEPLOY_KEY: /);
    expect((await ask(site, { body: `${BOUND} ${PATTERN}` })).denied?.rule).toMatch(/^github-token: /);
    expect(
      (
        await ask(site, {
          method: "GET",
          headers: [`X-A: ${BOUND}`, `X-B: ${KNOWN.slice(0, 15)}`, `X-C: ${KNOWN.slice(15)}`],
        })
      ).denied?.rule,
    ).toMatch(/^DEPLOY_KEY: /);
    expect(site.wire()).toHaveLength(0);
  });

  it("may go to the hosts of a wildcard in its `to`, and not to the name that it is below", async () => {
    const known = [{ name: "WIDE", kind: "known" as const, value: BOUND, to: ["*.example.test"] }];
    const site = await serve({ policy: { known } });
    expect((await ask(site, { body: BOUND })).status).toBe(200);
    expect((await ask(site, { host: "one.wild.test", body: BOUND })).denied?.code).toBe("secret-found");
  });
});

describe("a guest", () => {
  it("that breaks off at any stage leaves nothing behind", async () => {
    const site = await serve();
    const stages = [
      requestBytes({ body: prose(1000) }).subarray(0, 30),
      requestBytes({ body: prose(1000) }).subarray(0, 600),
      requestBytes({ body: prose(3 * MB) }).subarray(0, 400_000),
      requestBytes({ body: prose(3 * MB) }).subarray(0, 2 * MB),
      requestBytes({ body: gzipSync(randomBytes(3 * MB)), headers: ["Content-Encoding: gzip"] }).subarray(
        0,
        2 * MB,
      ),
      requestBytes({ chunks: [prose(2 * MB)] }).subarray(0, -7),
    ];
    for (const bytes of stages) {
      const tls = await openTunnel(site.egress, HOST);
      tls.write(bytes);
      await new Promise((resolve) => setTimeout(resolve, 60));
      tls.destroy();
    }
    await until(() => site.upstream.open() === 0);
    expect(site.arrived).toEqual([]);
    expect((await ask(site, { body: "after" })).status).toBe(200);
  });

  it("with 100 bodies of half a megabyte at once has them all looked into, in bounded memory", async () => {
    const site = await serve({
      limits: { allHeldBytes: 8 * MB, upstreamHandshakeMs: 60_000, connectMs: 60_000 },
    });
    const size = 500_000;
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }, 5);
    const sockets = await Promise.all(Array.from({ length: 100 }, () => openTunnel(site.egress, HOST)));
    const body = prose(size);
    const secret = prose(size);
    secret.write(PATTERN, size - 100);
    // All but their ends, so that all are there at once; then the ends.
    const of = (i: number): Buffer => requestBytes({ body: i % 10 === 0 ? secret : body });
    for (const [i, tls] of sockets.entries()) tls.write(of(i).subarray(0, -50));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const heads = sockets.map((tls) => readHead(tls));
    for (const [i, tls] of sockets.entries()) tls.write(of(i).subarray(-50));
    const answers = await Promise.all(heads);
    clearInterval(watch);
    for (const [i, head] of answers.entries()) {
      if (i % 10 === 0) expect(head).toContain("x-bottle-denied: secret-found");
      else expect(head).toContain("200 OK");
    }
    for (const tls of sockets) tls.destroy();
    expect(site.arrived).toHaveLength(90);
    expect(leaksIn(site.wire())).toEqual([]);
    // Clients, egress and upstream share this process, and each keeps or has kept 50 MB of them.
    expect(most).toBeLessThan(512 * MB);
  });
});

describe("programs as they are", () => {
  it("curl uploads a form with a file in it, and is told which part of it all is in the way", async () => {
    const site = await serve();
    const dir = await mkdtemp(join(tmpdir(), "inspection-"));
    onEnd(() => rm(dir, { recursive: true }));
    await writeFile(join(dir, "key.txt"), `export TOKEN=${PATTERN}\n`);
    await writeFile(join(dir, "ok.txt"), "nothing\n");
    const send = (file: string) =>
      curl(site.egress, "-F", "a=1", "-F", `f=@${join(dir, file)}`, `https://${HOST}/up`);
    expect((await send("key.txt")).stdout).toContain("secret-found");
    expect((await send("ok.txt")).stdout).toBe("reached");
    const packed = await curl(site.egress, "-H", "Expect: 100-continue", "-d", KNOWN, `https://${HOST}/up`);
    expect(packed.stdout).toContain("secret-found");
    expect(site.arrived).toHaveLength(1);
    expect(leaksIn(site.wire())).toEqual([]);
  });

  it("python posts JSON through urllib, likewise", async () => {
    const site = await serve();
    const dir = await mkdtemp(join(tmpdir(), "inspection-"));
    onEnd(() => rm(dir, { recursive: true }));
    await writeFile(join(dir, "ca.pem"), site.egress.ca.certificate);
    const program = `
import json, os, urllib.request, urllib.error
for text in (os.environ["NOTE"], "nothing"):
    request = urllib.request.Request("https://${HOST}/json", json.dumps({"note": text}).encode(), {"Content-Type": "application/json"})
    try:
        print(urllib.request.urlopen(request).read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, error.headers["x-bottle-denied"])
`;
    const said = await new Promise<string>((resolve, reject) => {
      const env = {
        PATH: process.env["PATH"],
        HOME: dir,
        NOTE: KNOWN,
        HTTPS_PROXY: `http://127.0.0.1:${site.egress.port}`,
        SSL_CERT_FILE: join(dir, "ca.pem"),
      };
      execFile("python3", ["-c", program], { env, cwd: process.cwd() }, (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(stderr)),
      );
    });
    expect(said).toBe("403 secret-found\nreached\n");
    expect(leaksIn(site.wire())).toEqual([]);
  });

  it("node posts over plain http in absolute form, likewise", async () => {
    const site = await serve();
    const answer = await new Promise<string | undefined>((resolve, reject) => {
      const request = httpRequest(
        { port: site.egress.port, method: "POST", path: `http://${HOST}/x`, headers: { host: HOST } },
        (response) => {
          response.resume();
          resolve(response.headers["x-bottle-denied"]?.toString());
        },
      );
      request.on("error", reject);
      request.end(KNOWN);
    });
    expect(answer).toBe("secret-found");
    expect(site.wire()).toHaveLength(0);
  });
});

/** The gate's HTTP front against clients that are no git, and gits of other ages. */
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTarget, type Target } from "../../support/git-attack.ts";
import { must, OWN, run, snapshot, startSite, workingCopy } from "../../support/git-gate.ts";

let target: Target;
beforeAll(async () => {
  target = await startTarget();
});
afterAll(() => target.close());

interface Answer {
  readonly status: number;
  readonly denied: string | undefined;
  readonly body: Buffer;
}

function ask(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: Buffer | string } = {},
): Promise<Answer> {
  const { port } = new URL(target.site.url);
  return new Promise((resolve, reject) => {
    const { method = "GET", headers = {}, body } = options;
    const sent = request({ host: "127.0.0.1", port, path, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const denied = response.headers["x-bottle-denied"];
        resolve({
          status: response.statusCode ?? 0,
          denied: typeof denied === "string" ? denied : undefined,
          body: Buffer.concat(chunks),
        });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const packet = (text: string | Buffer): Buffer => {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, "0")), bytes]);
};
const FLUSH = Buffer.from("0000");
const EMPTY_PACK = Buffer.from("5041434b0000000200000000029d08823bd8a8eab510ad6ac75c823cfd3ed31e", "hex");

const RECEIVE = { method: "POST", headers: { "Content-Type": "application/x-git-receive-pack-request" } };
const UPLOAD = { method: "POST", headers: { "Content-Type": "application/x-git-upload-pack-request" } };

describe("refuses what is not git's smart protocol", () => {
  it.each([
    ["/", 404, "not-git"],
    ["/app.git", 404, "not-git"],
    ["/app.git/", 404, "not-git"],
    ["/app.git/HEAD", 403, "dumb-http-refused"],
    ["/app.git/config", 403, "dumb-http-refused"],
    ["/app.git/info/refs", 403, "dumb-http-refused"],
    ["/app.git/objects/info/packs", 403, "dumb-http-refused"],
    ["/app.git/objects/info/alternates", 403, "dumb-http-refused"],
    [`/app.git/objects/${"ab".repeat(1)}/${"c".repeat(38)}`, 403, "dumb-http-refused"],
    ["/app.git/info/refs?service=git-upload-archive", 403, "dumb-http-refused"],
    ["/app.git/info/refs?service=git-upload-pack&x=1", 403, "dumb-http-refused"],
    ["/app.git/info/refs?x=1&service=git-upload-pack", 403, "dumb-http-refused"],
    ["/other.git/info/refs?service=git-upload-pack", 404, "repo-unknown"],
    ["/app.git.git/info/refs?service=git-upload-pack", 404, "repo-unknown"],
    ["/hooks/info/refs?service=git-upload-pack", 404, "repo-unknown"],
    ["/../app.git/info/refs?service=git-upload-pack", 404, "not-git"],
    ["/app.git/../app.git/info/refs?service=git-upload-pack", 403, "dumb-http-refused"],
    ["/app.git/..%2f..%2fetc/passwd", 404, "not-git"],
    ["/%61pp.git/info/refs?service=git-upload-pack", 404, "not-git"],
    ["//app.git/info/refs?service=git-upload-pack", 404, "not-git"],
    ["/app.git//info/refs?service=git-upload-pack", 403, "dumb-http-refused"],
    ["/app.git/info/lfs/objects/batch", 403, "lfs-refused"],
    ["/app.git/info/lfs/locks/verify", 403, "lfs-refused"],
    ["http://evil.example/app.git/info/refs?service=git-upload-pack", 404, "not-git"],
  ])("GET %s", async (path, status, denied) => {
    const answer = await ask(path);
    expect(answer).toMatchObject({ status, denied });
    const told = JSON.parse(answer.body.toString()) as { denied: { code: string; ask: { tool: string } } };
    expect(told.denied).toMatchObject({ code: denied, ask: { tool: "explain_denial" } });
  });

  it.each(["HEAD", "PUT", "DELETE", "PROPFIND", "OPTIONS", "MKCOL", "TRACE"])("%s", async (method) => {
    expect((await ask("/app.git/info/refs?service=git-upload-pack", { method })).status).toBe(403);
    expect((await ask("/app.git/git-receive-pack", { method })).status).toBe(400);
  });

  it("a service asked with another one's type, a query or an unknown encoding", async () => {
    expect(await ask("/app.git/git-receive-pack", UPLOAD)).toMatchObject({ denied: "request-malformed" });
    expect(await ask("/app.git/git-receive-pack?x", RECEIVE)).toMatchObject({ denied: "request-malformed" });
    const headers = { ...RECEIVE.headers, "Content-Encoding": "br" };
    expect(await ask("/app.git/git-receive-pack", { method: "POST", headers, body: "x" })).toMatchObject({
      denied: "request-malformed",
    });
  });

  it.each([
    ["no packets at all", "x".repeat(40)],
    ["a packet of length 1", "0001"],
    ["a pack without commands", "PACK\0\0\0\x02\0\0\0\0"],
    [
      "more commands than anybody has",
      Buffer.concat(Array.from({ length: 5000 }, () => packet("0".repeat(90)))),
    ],
  ])("a push that begins with %s", async (_, body) => {
    const before = await snapshot(target.bare);
    const answer = await ask("/app.git/git-receive-pack", { ...RECEIVE, body });
    expect(answer).toMatchObject({ status: 400, denied: "request-malformed" });
    expect(await snapshot(target.bare)).toBe(before);
  });

  it.each([
    ["ends, and goes on behind it", "x\n."],
    ["is another ref's line too", `x\n${"0".repeat(40)} ${"1".repeat(40)} refs/heads/main`],
    ["rings", "x\x07"],
    ["comes after a second NUL", "x\0report-status\0y"],
  ])("regression: a push of a ref whose name %s", async (_, name) => {
    const mirror = join(target.site.config.stateDir, "app.git");
    const before = [await snapshot(target.bare), await snapshot(mirror)];
    const head = await must(["git", "--git-dir", target.bare, "rev-parse", "main"]);
    const body = Buffer.concat([packet(`${"0".repeat(40)} ${head} ${OWN}/${name}`), FLUSH, EMPTY_PACK]);
    const answer = await ask("/app.git/git-receive-pack", { ...RECEIVE, body });
    expect(answer).toMatchObject({ status: 400, denied: "request-malformed" });
    expect([await snapshot(target.bare), await snapshot(mirror)]).toEqual(before);
  });

  it("a body that says it is gzip and is not, or unpacks to more than may be sent", async () => {
    const headers = { ...UPLOAD.headers, "Content-Encoding": "gzip" };
    expect(await ask("/app.git/git-upload-pack", { method: "POST", headers, body: "no gzip" })).toMatchObject(
      {
        denied: "request-malformed",
      },
    );
    const bomb = gzipSync(Buffer.alloc(40 * 1024 * 1024, 48));
    const answer = await ask("/app.git/git-upload-pack", { method: "POST", headers, body: bomb }).catch(
      () => undefined,
    );
    expect(answer === undefined || answer.status >= 400).toBe(true);
  });

  it("a head that does not end, tunnels, and bytes that are no HTTP; and serves on", async () => {
    const { port } = new URL(target.site.url);
    const say = (text: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
        let heard = "";
        socket.on("data", (chunk) => {
          heard += chunk.toString("latin1");
        });
        socket.on("error", () => {});
        socket.on("close", () => resolve(heard));
      });
    expect(await say(`GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(40_000)}\r\n\r\n`)).not.toContain("200");
    expect(await say("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n")).toBe("");
    expect(await say("\x16\x03\x01 tls\r\n\r\n")).toBe("");
    expect(
      await say("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ).not.toContain("200");
    expect((await ask("/app.git/info/refs?service=git-upload-pack")).status).toBe(200);
  });

  it("a push of commands that git's own client would not send", async () => {
    const head = await must(["git", "--git-dir", target.bare, "rev-parse", "main"]);
    const zero = "0".repeat(40);
    const before = await snapshot(target.bare);
    const attempts: readonly (readonly string[])[] = [
      [`${zero} ${head} ${OWN}/twice\0report-status`, `${zero} ${head} ${OWN}/twice`],
      [`${zero} ${head} HEAD\0report-status`],
      [`${zero} ${head} ${OWN}/../../main\0report-status`],
      [`${zero} ${head} ${OWN}//x\0report-status`],
      [`${zero} ${zero} ${OWN}/nothing\0report-status`],
      [`${head} ${zero} refs/heads/main\0report-status delete-refs`],
      [
        `${zero} ${head} refs/heads/main\0report-status atomic push-options object-format=sha1 agent=x/${"y".repeat(60)}`,
      ],
      [
        `push-cert\0report-status`,
        "certificate version 0.1",
        `${zero} ${head} refs/heads/main`,
        "push-cert-end",
      ],
      [`shallow ${head}`, `${zero} ${head} refs/heads/main\0report-status`],
    ];
    for (const commands of attempts) {
      const body = Buffer.concat([...commands.map((line) => packet(line)), FLUSH, EMPTY_PACK]);
      // Git breaks off when it cannot read a command.
      const nothing = { body: Buffer.alloc(0) };
      const answer = await ask("/app.git/git-receive-pack", { ...RECEIVE, body }).catch(() => nothing);
      expect(answer.body.toString("latin1"), commands[0]).not.toContain("\nok refs");
      expect(answer.body.toString("latin1"), commands[0]).not.toMatch(/^0[0-9a-f]{3}ok /m);
      expect(await snapshot(target.bare), commands[0]).toBe(before);
    }
  });
});

describe("speaks with every git", () => {
  it.each(["0", "1", "2"])("in protocol version %s", async (version) => {
    const folder = join(target.site.folder, `v${version}`);
    const protocol = ["-c", `protocol.version=${version}`];
    await must(["git", ...protocol, "clone", "-q", `${target.site.url}/app.git`, folder]);
    const copy = workingCopy(folder);
    await copy.commit({ "v.txt": version });
    const pushed = await copy.try(...protocol, "push", "origin", `HEAD:${OWN}/v${version}`);
    expect(pushed).toMatchObject({ code: 0 });
  });

  it("in pieces (chunked), which git sends when a push is large", async () => {
    const copy = await target.copy();
    await copy.commit({ "big.bin": Buffer.from(Array.from({ length: 60_000 }, (_, i) => (i * 7919) >> 3)) });
    const pushed = await copy.try("-c", "http.postBuffer=4096", "push", "origin", `HEAD:${OWN}/chunked`);
    expect(pushed).toMatchObject({ code: 0 });
  });

  it("whose requests are compressed", async () => {
    const copy = await target.copy();
    for (let i = 0; i < 60; i++) await copy.git("commit", "-q", "--allow-empty", "-m", `${i}`);
    const inBare = ["git", "--git-dir", target.bare];
    const id = await must([...inBare, "commit-tree", "-p", "main", "-m", "elsewhere", "main^{tree}"]);
    await must([...inBare, "update-ref", "refs/heads/elsewhere", id]);
    // Enough "have" lines, in a protocol in which git compresses those.
    const fetched = await run(["git", "-c", "protocol.version=0", "fetch", "-q"], {
      cwd: copy.folder,
      env: { GIT_TRACE_CURL: "1", GIT_TRACE_CURL_NO_DATA: "1" },
    });
    expect(fetched).toMatchObject({ code: 0, stderr: expect.stringContaining("Content-Encoding: gzip") });
    expect(await copy.git("rev-parse", "origin/elsewhere")).toBe(id);
  });

  it.each(["gzip", "x-gzip", "GZIP"])("that calls what it compresses %s", async (encoding) => {
    const body = gzipSync(Buffer.concat([packet("command=ls-refs\n"), Buffer.from("0001"), FLUSH]));
    const headers = { ...UPLOAD.headers, "Content-Encoding": encoding, "Git-Protocol": "version=2" };
    const answer = await ask("/app.git/git-upload-pack", { method: "POST", headers, body });
    expect(answer).toMatchObject({ status: 200 });
    expect(answer.body.toString()).toContain("refs/heads/main");
  });

  it("without .git in the name", async () => {
    await must(["git", "ls-remote", `${target.site.url}/app`]);
  });

  it("and refuses LFS in words that git-lfs shows", async () => {
    const answer = await ask("/app.git/info/lfs/objects/batch", {
      method: "POST",
      headers: { "User-Agent": "git-lfs/3.4.0" },
      body: "{}",
    });
    expect(JSON.parse(answer.body.toString())).toMatchObject({
      message: expect.stringContaining("denied: lfs-refused"),
    });
  });
});

describe("a gate with a bearer", () => {
  it("serves who has it, and nobody else", async () => {
    const bearer = ["gate", "bearer", "T5mQ"].join("-");
    const site = await startSite({ upstream: { kind: "local", path: target.bare }, config: { bearer } });
    const url = `${site.url}/app.git`;
    const list = (...options: string[]) => run(["git", ...options, "ls-remote", url]);
    try {
      expect((await list()).code).not.toBe(0);
      expect((await list("-c", "http.extraHeader=Authorization: Bearer wrong")).code).not.toBe(0);
      expect((await list("-c", `http.extraHeader=Authorization: Bearer ${bearer}x`)).code).not.toBe(0);
      expect(await list("-c", `http.extraHeader=Authorization: Bearer ${bearer}`)).toMatchObject({ code: 0 });
      expect(await run(["git", "ls-remote", url.replace("//", `//x:${bearer}@`)])).toMatchObject({ code: 0 });
      expect(site.events("git.refused")[0]).toMatchObject({ code: "bearer-required" });
      expect(JSON.stringify(site.messages)).not.toContain(bearer);
    } finally {
      await site.close();
    }
  });
});

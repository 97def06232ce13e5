/**
 * Hostile bytes against git-gate's front: request lines, paths, services, headers, bodies, packets, commands and packs,
 * whole and damaged, while an honest client goes on working. Whatever is sent: upstream gets what is allowed and
 * nothing else, no secret gets there, and the gate neither falls over nor leaves anything lying about.
 *
 * Replay with FUZZ_SEED=<the seed it printed>.
 */
import { connect } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fuzzRun } from "../support/fuzz-run.ts";
import { startTarget, type Target } from "../support/git-attack.ts";
import { must, OWN, TOKEN } from "../support/git-gate.ts";
import { leftovers, until } from "../support/git-gate-process.ts";
import { dice } from "../support/random.ts";
import { objectId, packet, packOf } from "../support/raw-push.ts";

const { seed, milliseconds, timeout } = fuzzRun("git-gate-front");
const { random, below, pick, mostly } = dice(seed);

/** Requests at once. */
const WIDTH = 4;
/** How long one connection may take: as long as git itself needs for a push on a busy machine, many times over. */
const PATIENCE_MS = 20_000;

/** After this long without a byte a client goes away. */
const QUIET_MS = 1_500;

let target: Target;
let main = "";
beforeAll(async () => {
  target = await startTarget();
  main = await must(["git", "--git-dir", target.bare, "rev-parse", "main"]);
});
afterAll(() => target.close());

const METHODS = ["POST", "GET", "PUT", "HEAD", "OPTIONS", "post", "CONNECT", "PROPFIND", "", "P\tOST"];
const PATHS = [
  "/app.git/git-receive-pack",
  "/app.git/git-upload-pack",
  "/app.git/info/refs?service=git-receive-pack",
  "/app.git/info/refs?service=git-upload-pack",
  "/app.git/info/refs?service=git-upload-archive",
  "/app.git/info/refs?service=git-receive-pack&service=git-upload-pack",
  "/app/git-receive-pack",
  "/app.git/git-receive-pack?x",
  "/app.git/git-receive-pack/",
  "/app.git/git-receive-pack%00",
  "/%61pp.git/git-receive-pack",
  "/../app.git/git-receive-pack",
  "/app.git/../hooks/pre-receive",
  "/app.git/objects/info/alternates",
  "/app.git/HEAD",
  "/other.git/git-receive-pack",
  "http://app/app.git/git-receive-pack",
  "*",
  "//",
  "",
];
const VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "http/1.1", ""];
const TYPES = [
  "application/x-git-receive-pack-request",
  "application/x-git-upload-pack-request",
  "application/x-git-receive-pack-request; charset=utf-8",
  "text/plain",
  "",
];
const HEADERS = [
  "Git-Protocol: version=2",
  "Git-Protocol: version=1",
  "Git-Protocol: version=2:object-format=sha256",
  `Git-Protocol: ${"x".repeat(300)}`,
  "Git-Protocol: version=2\r\n folded",
  "GIT_CONFIG_COUNT: 1",
  "Git-Config-Parameters: 'receive.denyDeletes=false'",
  "Proxy: http://evil.example",
  "X-Http-Method-Override: PUT",
  "Content-Encoding: gzip",
  "Content-Encoding: x-gzip",
  "Content-Encoding: gzip, gzip",
  "Content-Encoding: br",
  "Expect: 100-continue",
  "Expect: nonsense",
  "Upgrade: h2c",
  "Connection: Upgrade, HTTP2-Settings",
  "Range: bytes=0-4",
  "Authorization: Basic eDp5",
  "User-Agent: git/2.39.5",
  "User-Agent: git-lfs/3.4.0",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: identity",
  "Content-Length: 4",
  "Content-Length: 99999999",
  "Content-Length: -1",
  "\0: x",
  "no colon",
];
const ZERO = "0".repeat(40);
const REFS = [
  `${OWN}/f`,
  "refs/heads/main",
  "HEAD",
  "refs/tags/v1",
  `${OWN}/../../main`,
  `${OWN}/ü`,
  `${OWN}/x.lock`,
  "refs/heads/bottle/other/x",
  "refs/replace/x",
  "",
];
const CAPABILITIES = [
  "report-status side-band-64k atomic ofs-delta agent=f",
  "report-status-v2 side-band-64k quiet",
  "report-status",
  "",
  "push-options side-band-64k report-status",
  "object-format=sha256 report-status side-band-64k",
  `report-status agent=${"y".repeat(2000)}`,
];

let made = 0;
/** A commit on main's with a file that nobody has had, and perhaps a secret in it. */
function work(): { readonly tip: string; readonly pack: Buffer } {
  made += 1;
  const data = Buffer.from(mostly([`work ${made} ${seed}\n`, `${TOKEN} ${made}\n`]));
  const blob = objectId("blob", data);
  const tree = Buffer.concat([
    Buffer.from(`100644 ${pick(["a.txt", "b", "src"])}\0`),
    Buffer.from(blob, "hex"),
  ]);
  const who = "F <f@b.example> 1700000000 +0000";
  const commit = Buffer.from(
    `tree ${objectId("tree", tree)}\nparent ${main}\nauthor ${who}\ncommitter ${who}\n\nf\n`,
  );
  const pack = packOf([
    { type: "commit", data: commit },
    { type: "tree", data: tree },
    { type: "blob", data },
  ]);
  return { tip: objectId("commit", commit), pack };
}

function push(): Buffer {
  const { tip, pack } = work();
  const commands = Array.from({ length: mostly([1, 2, 0, 120]) }, (_, i) => {
    const old = mostly([ZERO, main, tip, "f".repeat(40), "zz"]);
    const next = mostly([tip, ZERO, main, "e".repeat(40), ""]);
    const unique = made * 1000 + i;
    const ref = mostly(REFS) === REFS[0] ? `${OWN}/f${unique}` : pick(REFS);
    return `${old} ${next} ${ref}${i === 0 ? `\0${mostly(CAPABILITIES)}` : ""}`;
  });
  const extra = mostly(["", `shallow ${main}`, "push-cert\0x", "0001", "fffff"]);
  return Buffer.concat([
    ...(extra === "" ? [] : [packet(extra)]),
    ...commands.map((line) => packet(line)),
    Buffer.from(mostly(["0000", "0001", "", "0004"])),
    mostly([pack, Buffer.alloc(0), pack.subarray(0, below(pack.length)), Buffer.concat([pack, pack])]),
  ]);
}

function fetch(): Buffer {
  return Buffer.concat([
    packet(mostly(["command=fetch", "command=ls-refs", "command=evil", `want ${main}`])),
    Buffer.from(mostly(["0001", "0000"])),
    packet(`want ${mostly([main, "a".repeat(40), "HEAD"])}\n`),
    packet(mostly(["done\n", `have ${main}\n`, `filter ${"x".repeat(100)}`, "deepen 1"])),
    Buffer.from("0000"),
  ]);
}

/** Nothing, or some bytes of it turned, taken out, doubled or put in. */
function damaged(bytes: Buffer): Buffer {
  if (random() < 0.6 || bytes.length === 0) return bytes;
  let out = Buffer.from(bytes);
  for (let i = below(4); i >= 0; i--) {
    const at = below(out.length);
    const end = at + below(20);
    const change = below(4);
    if (change === 0) out[at] = below(256);
    else if (change === 1) out = Buffer.concat([out.subarray(0, at), out.subarray(end)]);
    else if (change === 2) out = Buffer.concat([out.subarray(0, end), out.subarray(at)]);
    else out = Buffer.concat([out.subarray(0, at), Buffer.from([below(256)]), out.subarray(at)]);
  }
  return out;
}

function wrong(): Buffer {
  let body = damaged(random() < 0.75 ? push() : fetch());
  const headers = [`Content-Type: ${mostly(TYPES)}`];
  if (random() < 0.15) {
    body = damaged(gzipSync(body));
    headers.push("Content-Encoding: gzip");
  }
  for (let i = mostly([0, 1, 3]); i > 0; i--) headers.push(pick(HEADERS));
  if (random() < 0.3) {
    const cut = below(body.length + 1);
    const chunk = (part: Buffer): Buffer =>
      Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")]);
    headers.push("Transfer-Encoding: chunked");
    const end = mostly(["0\r\n\r\n", "", "0\r\nX: y\r\n\r\n", "-1\r\n"]);
    body = Buffer.concat([chunk(body.subarray(0, cut)), chunk(body.subarray(cut)), Buffer.from(end)]);
  } else
    headers.push(
      `Content-Length: ${mostly([body.length, body.length + 1, 0, Math.max(0, body.length - 1)])}`,
    );
  const head = [
    `${mostly(METHODS)} ${mostly(PATHS)} ${mostly(VERSIONS)}`,
    "Host: gate",
    `Connection: ${mostly(["close", "keep-alive"])}`,
    ...headers,
  ];
  return Buffer.concat([damaged(Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1")), body]);
}

/** Sends it, says no more, and hears the answer to its end. */
function send(bytes: Buffer): Promise<string> {
  const { port } = new URL(target.site.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), "127.0.0.1");
    let heard = "";
    const late = setTimeout(() => reject(new Error("the gate did not come to an end")), PATIENCE_MS);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      heard += chunk.toString("latin1");
    });
    socket.on("close", () => {
      clearTimeout(late);
      resolve(heard);
    });
    socket.write(bytes);
    // A client that waits for an answer to half a request is let wait; this one goes.
    let quiet = setTimeout(() => socket.end(), QUIET_MS);
    socket.on("data", () => {
      quiet = quiet.refresh();
    });
    socket.on("close", () => clearTimeout(quiet));
  });
}

const refs = (): Promise<string> =>
  must(["git", "--git-dir", target.bare, "for-each-ref", "--format=%(refname) %(objectname)"]);

describe("git-gate's front", () => {
  it(
    "comes to its end with whatever it is sent, and upstream gets nothing that is not allowed",
    async () => {
      const end = performance.now() + milliseconds;
      let sent = 0;
      let accepted = 0;
      const line = async (): Promise<void> => {
        while (performance.now() < end) {
          const heard = await send(wrong());
          sent += 1;
          if (/000eunpack ok/.test(heard) && /ok refs\//.test(heard)) accepted += 1;
          expect(heard === "" || heard.startsWith("HTTP/1.1 "), heard.slice(0, 200)).toBe(true);
          expect(heard).not.toMatch(/\bat .*\.ts:\d+|HTTP\/1.1 500/);
        }
      };
      await Promise.all(Array.from({ length: WIDTH }, line));
      console.log(`${sent} requests, ${accepted} of them pushes that were let through`);

      for (const ref of (await refs()).split("\n")) {
        const [name = "", id] = ref.split(" ");
        if (name === "refs/heads/main") expect(id).toBe(main);
        else expect(name).toMatch(new RegExp(`^${OWN}/f\\d*$`));
      }
      const objects = await must([
        "sh",
        "-c",
        `git --git-dir "${target.bare}" cat-file --batch-all-objects --batch --buffer`,
      ]);
      expect(objects).not.toContain(TOKEN);

      // It serves on, and nothing is left.
      const copy = await target.copy();
      await copy.commit({ "honest.txt": `${seed}\n` });
      expect(await copy.push("honest")).toMatchObject({ code: 0 });
      await until(() => leftovers(join(target.site.config.stateDir, "app.git")).length === 0);
      expect(target.site.messages.filter((each) => each.type === "log" && each.level === "error")).toEqual(
        [],
      );
    },
    timeout,
  );
});

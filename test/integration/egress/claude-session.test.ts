/**
 * A long session of the real Claude Code, with its real tools, over the things that look like secrets and are none, and
 * with one that is: nothing stops it, and the key is masked on every turn that tells it.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { crc32, deflateSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { LIMITS } from "../../../src/sidecars/egress/limits.ts";
import { type MessagesApi, type ScriptedTurn, startMessagesApi } from "../../doubles/upstreams.ts";
import { talk } from "../../support/long-conversation.ts";
import { GENERATED } from "../../support/ordinary-work.ts";
import { createRealOperator, type LogLine, type RealOperator } from "../../support/real-bottle.ts";
import { checksummed } from "../../support/secret-examples/checksummed.ts";

const API_KEY = ["sk", "ant", "api03", randomBytes(18).toString("hex")].join("-");
/** Somebody put it into the repository. */
const KEY = checksummed("ghp_", 30);

const tool = (name: string, input: Readonly<Record<string, unknown>>): ScriptedTurn => ({
  tool: name,
  input,
});
const bash = (command: string): ScriptedTurn => tool("Bash", { command });
const at = (name: string): string => `/home/node/workspace/${name}`;
const read = (name: string, more = {}): ScriptedTurn => tool("Read", { file_path: at(name), ...more });

const BEFORE: readonly ScriptedTurn[] = [
  bash("ls -la && git log --oneline && printenv | sort"),
  read("docs/talk.md"),
  read("package-lock.json", { limit: 400 }),
  read("package-lock.json", { offset: 2_000, limit: 400 }),
  bash("head -c 25000 dist/minified.js; echo; head -c 25000 data/uuids.json"),
  bash("sed -n 1,200p data/hashes.txt; head -c 20000 data/log.jsonl"),
  read("logo.png"),
  read("screenshot.png"),
  tool("Grep", {
    pattern: "integrity",
    path: at("package-lock.json"),
    output_mode: "content",
    head_limit: 200,
  }),
  tool("Grep", { pattern: "API_KEY|TOKEN", output_mode: "content", "-n": true }),
  tool("Write", { file_path: at(".env.example"), content: "OPENAI_API_KEY=sk-...\nGITHUB_TOKEN=ghp_xxxx\n" }),
  tool("Edit", {
    file_path: at(".env.example"),
    old_string: "OPENAI_API_KEY=sk-...",
    new_string: "# set your OPENAI_API_KEY, as in AKIAIOSFODNN7EXAMPLE\nOPENAI_API_KEY=sk-proj-...",
  }),
  bash(
    "cat tests/fixtures.test.ts; git add -A; git commit -qm 'Say which keys there are'; git show --stat HEAD",
  ),
  bash("node -e 'console.log(crypto.randomUUID(), crypto.randomBytes(4000).toString(\"base64\"))'"),
];
const AFTER: readonly ScriptedTurn[] = [
  read("docs/talk.md"),
  tool("Edit", { file_path: at(".env"), old_string: "GITHUB_TOKEN", new_string: "GH_TOKEN" }),
  bash("git diff --stat; sha256sum package-lock.json; git rev-parse HEAD"),
  ...Array.from({ length: 8 }, (_, i) => bash(`sed -n '${i * 150},${i * 150 + 150}p' package-lock.json`)),
  { text: "All of it is done." },
];
const SCRIPT: readonly ScriptedTurn[] = [...BEFORE, bash("cat .env"), ...AFTER];

let operator: RealOperator;
let model: MessagesApi;
let log: readonly LogLine[] = [];
let printed: string;

beforeAll(async () => {
  operator = await createRealOperator({
    "docs/talk.md": talk(),
    "package-lock.json": readFileSync(packagePath("package-lock.json"), "utf8"),
    "dist/minified.js": GENERATED["minified source with a source map"]?.() ?? "",
    "data/uuids.json": GENERATED["UUIDs in JSON"]?.() ?? "",
    "data/hashes.txt": GENERATED["hashes of every length"]?.() ?? "",
    "data/log.jsonl": GENERATED["logs with numbers"]?.() ?? "",
    "tests/fixtures.test.ts": fixtures(),
    "logo.png": picture(200),
    "screenshot.png": picture(300),
    ".env": `GITHUB_TOKEN=${KEY}\n`,
  });
  model = await startMessagesApi({
    tls: await operator.authority.issue(["api.anthropic.com"]),
    credentials: [{ header: "x-api-key", value: API_KEY }],
    script: SCRIPT,
  });
  operator.agent(
    "claude",
    {
      agent_provider: { template: "claude" },
      egress: {
        upstream_ca: [operator.caFile],
        routes: [{ host: "api.anthropic.com", connect_to: `127.0.0.1:${model.port}` }],
      },
    },
    `You look after keys. ${talk().slice(0, 2_000)}`,
  );
  const run = await operator.bottle(["start", "claude", "--cwd", "--prompt", talk().slice(2_000, 6_000)], {
    env: { ANTHROPIC_API_KEY: API_KEY },
    timeoutMs: 180_000,
  });
  expect(run, run.stderr).toMatchObject({ code: 0 });
  printed = run.stdout;
  log = operator.log(/^bottle (\S+)$/m.exec(run.stderr)?.[1] ?? "");
}, 200_000);
afterAll(async () => {
  await operator.remove();
  await model.close();
});

/** Of the agent's own loop, oldest first. */
const turns = (): readonly string[] =>
  model.requests
    .filter(({ method, target }) => method === "POST" && target.startsWith("/v1/messages?"))
    .map(({ body }) => body);

describe("a long session of claude over what looks like secrets", () => {
  it("goes through all of its script, and nothing is refused", () => {
    expect(printed).toBe("All of it is done.\n");
    expect(model.toolResults()).toHaveLength(SCRIPT.length - 1);
    expect(log.filter(({ event }) => event === "egress.denied")).toEqual([]);
    const conversation = turns().at(-1) ?? "";
    console.log(`${turns().length} turns, the last of ${conversation.length} bytes, ${sum(turns())} in all`);
    for (const seen of [
      "AKIAIOSFODNN7EXAMPLE",
      "sk-ant-api03-xxxx",
      "image/png",
      "integrity",
      "sha256:2c26b46b",
    ])
      expect(conversation).toContain(seen);
    // At its end it is too long to be held: it is looked into as it streams.
    expect(conversation.length).toBeGreaterThan(LIMITS.heldBytes);
  });

  it("masks the key that it read, on each turn alike, and what is sent is proper JSON", () => {
    for (const body of turns()) expect(body).not.toContain(KEY);
    const telling = turns().filter((body) => /MASKEDgithubtoken/.test(body));
    expect(telling.length).toBeGreaterThanOrEqual(AFTER.length);
    const masks = new Set(telling.flatMap((body) => body.match(/MASKEDgithubtoken[0-9a-f]+/g) ?? []));
    expect(masks.size).toBe(1);
    expect([...masks][0]).toHaveLength(KEY.length);
    // The stand-in answers what is no proper request with 400, and an answer to no question too.
    for (const body of telling) expect(() => JSON.parse(body)).not.toThrow();

    const masked = log.filter(({ event }) => event === "egress.masked");
    expect(masked.length).toBeGreaterThanOrEqual(telling.length);
    expect(new Set(masked.map(({ data }) => `${data["detector"]} ${data["finding"]}`)).size).toBe(1);
    expect(JSON.stringify(log)).not.toContain(KEY);
  });

  it("masks nothing else of it", () => {
    const before = turns()[BEFORE.length - 1] ?? "";
    expect(before).not.toMatch(/MASKED/);
    expect((turns().at(-1) ?? "").replace(/MASKEDgithubtoken[0-9a-f]+/g, "")).not.toMatch(/MASKED/);
  });
});

function sum(texts: readonly string[]): number {
  return texts.reduce((total, { length }) => total + length, 0);
}

/** A test as repositories have them: made-up keys that say so. */
function fixtures(): string {
  return [
    'const user = { password: "hunter2", token: "test-token", apiKey: "fake-api-key" };',
    'process.env.STRIPE_KEY = "sk_test_xxxxxxxxxxxxxxxxxxxxxxxx";',
    `expect(hash("a")).toBe("${createHash("sha256").update("a").digest("hex")}");`,
    'expect(await login("alice@example.com", "correct horse battery staple")).toMatchObject({ status: 200 });',
    'nock("https://api.example.com", { reqheaders: { authorization: "Bearer <token>" } });',
  ].join("\n");
}

/** A PNG of noise: the base64 of nothing that compresses. */
function picture(side: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum_] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum_.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum_]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const rows = Array.from({ length: side }, () => Buffer.concat([Buffer.alloc(1), randomBytes(side * 3)]));
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(Buffer.concat(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

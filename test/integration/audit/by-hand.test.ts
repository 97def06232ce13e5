/** The ways to verify a log without bot-bottle that docs/audit.md shows, taken from that page and tried. */
import { readFileSync } from "node:fs";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { chain, type Entry } from "../../../src/audit/entry.ts";
import { verifyLog } from "../../../src/audit/verify.ts";
import { run } from "../../../src/lib/processes.ts";
import { BOTTLE, temporaryHome, writtenLog } from "../../support/audit-logs.ts";

const page = readFileSync(new URL("../../../docs/audit.md", import.meta.url), "utf8");
const { home, remove } = temporaryHome();
afterAll(remove);

let lines: string[] = [];
let dir = "";
let log = "";

beforeAll(async () => {
  lines = await writtenLog(home, 100);
  dir = join(home.root, "copies");
  log = join(dir, `${BOTTLE}.jsonl`);
  await mkdir(dir);
  await copyFile(join(home.audit, "host-key.pub"), join(dir, "host-key.pub"));
  await writeFile(join(home.root, "check.py"), block("python"));
});

/** The page's one code block of `language` that has `containing` in it. */
function block(language: string, containing = ""): string {
  const blocks = [...page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter(([, tag, text]) => tag === language && text?.includes(containing))
    .map(([, , text]) => text ?? "");
  expect(blocks).toHaveLength(1);
  return blocks[0] ?? "";
}

async function needs(ctx: TestContext, ...argv: [string, ...string[]]): Promise<void> {
  const result = await run(argv).catch(String);
  if (typeof result === "string" || result.code !== 0) ctx.skip(`${argv.join(" ")} does not work here`);
}

async function byPython(content: string): Promise<{ code: number | null; said: string }> {
  await writeFile(log, content);
  const result = await run(["python3", join(home.root, "check.py"), log, join(dir, "host-key.pub")]);
  return { code: result.code, said: result.stdout.toString() + result.stderr };
}

describe("verifying by hand, as the page shows", () => {
  it("agrees with the Python program about good, cut and altered logs", async (ctx) => {
    await needs(ctx, "python3", "-c", "import sys; sys.exit(sys.version_info < (3, 9))");
    await needs(ctx, "openssl", "pkeyutl", "-help");
    const whole = lines.join("");
    const cases: readonly [content: string, code: number, said: string][] = [
      [whole, 0, "103 lines, the last "],
      [lines.slice(0, -1).join(""), 2, "OPEN OR CUT"],
      [lines.slice(0, 30).join(""), 2, "OPEN OR CUT"],
      [whole.slice(0, -1), 2, "TORN"],
      [whole.slice(0, -20), 2, "102 lines, the last "],
      [`${whole}{"data":{`, 2, "TORN"],
      [`${whole}${"\0".repeat(100)}`, 2, "TORN"],
      [`${whole}{"data":{}}`, 1, "line 104: is no line of a log"],
      [whole + (lines[50] ?? "").trimEnd(), 1, "line 104: does not follow"],
      [whole.slice(0, 50), 1, "line 1: is no line of a log"],
      ["", 1, "line 1: is not there"],
      [whole.replace("text of", "TEXT of"), 1, "line 2: was changed"],
      [lines.filter((_, i) => i !== 40).join(""), 1, "line 41: does not follow"],
      [[...lines, lines[50]].join(""), 1, "line 104: does not follow"],
      [lines.with(64, otherHead()).join(""), 1, "line 65: has a bad signature"],
    ];
    for (const [content, code, said] of cases) {
      const result = await byPython(content);
      expect([said, result.code, result.said]).toEqual([said, code, expect.stringContaining(said)]);
      const verdicts = [["intact"], ["broken"], ["open-or-cut", "torn"]][code];
      expect(verdicts).toContain((await verifyLog(log)).verdict);
    }
  });

  it("prints a line's hash with the shell command", async (ctx) => {
    await needs(ctx, "sh", "-c", "command -v sha256sum");
    await writeFile(log, lines.join(""));
    const result = await run(["sh", "-c", block("sh", "sed -n 5p")], { env: { ...process.env, LOG: log } });
    expect(result.stdout.toString().slice(0, 64)).toBe((JSON.parse(lines[4] ?? "") as Entry).hash);
  });

  it("prints the key's fingerprint with the openssl command", async (ctx) => {
    await needs(ctx, "openssl", "version");
    const result = await run(["sh", "-c", block("sh", "openssl pkey")], { cwd: dir });
    const { key } = await verifyLog(join(home.audit, `${BOTTLE}.jsonl`));
    expect(`sha256:${result.stdout.toString().slice(0, 64)}`).toBe(key);
  });
});

/** Line 65 with another signature and its hash made right again. */
function otherHead(): string {
  const { hash: _, ...fields } = JSON.parse(lines[64] ?? "") as Entry;
  const signature = Buffer.alloc(64, 7).toString("base64");
  return chain({ ...fields, data: { ...fields.data, signature } }).line;
}

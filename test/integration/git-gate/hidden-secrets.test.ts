/** Every way to carry a secret past the gate that anybody has thought of; none of it reaches upstream (I4). */
import { randomBytes } from "node:crypto";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_GIT_LIMITS } from "../../../src/contract/git-gate.ts";
import { startTarget, type Target } from "../../support/git-attack.ts";
import { must, OWN, type Ran, run, snapshot, TOKEN, type WorkingCopy } from "../../support/git-gate.ts";
import { CHAT_EXAMPLES } from "../../support/secret-examples/chat.ts";

const KNOWN = ["known", "Xq81", "vBz5", "Rt2LmWp9"].join("");
const [WEBHOOK = ""] = CHAT_EXAMPLES["slack-webhook"]?.secrets ?? [];
const LINE = `token = "${TOKEN}"\n`;

let target: Target;
beforeAll(async () => {
  target = await startTarget({
    policy: { known: [{ name: "DATABASE_URL", kind: "known", value: KNOWN }] },
    repo: {
      refs: [
        { pattern: `${OWN}/*`, force: true, delete: true },
        { pattern: "refs/tags/v*", force: false, delete: false },
        { pattern: "refs/notes/*", force: false, delete: false },
        { pattern: "refs/replace/*", force: false, delete: false },
      ],
    },
  });
});
afterAll(() => target.close());

/** A zip of deflated members, as any program would write it; `table: false` leaves the central directory out. */
function zip(
  members: Record<string, Buffer>,
  change: { method?: number; flags?: number; table?: boolean } = {},
): Buffer {
  const { method = 8, flags = 0, table = true } = change;
  const locals: Buffer[] = [];
  const entries: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(members)) {
    const data = method === 8 ? deflateRawSync(content) : content;
    const head = Buffer.alloc(30);
    head.write("PK\x03\x04", "latin1");
    head.writeUInt16LE(20, 4);
    head.writeUInt16LE(flags, 6);
    head.writeUInt16LE(method, 8);
    head.writeUInt32LE(data.length, 18);
    head.writeUInt32LE(content.length, 22);
    head.writeUInt16LE(name.length, 26);
    locals.push(head, Buffer.from(name), data);
    const entry = Buffer.alloc(46);
    entry.write("PK\x01\x02", "latin1");
    head.copy(entry, 6, 4, 30);
    entry.writeUInt32LE(offset, 42);
    entries.push(entry, Buffer.from(name));
    offset += head.length + name.length + data.length;
  }
  return Buffer.concat(table ? [...locals, ...entries] : locals);
}

/** One file in a tar of the oldest kind. */
function tar(name: string, content: Buffer): Buffer {
  const head = Buffer.alloc(512);
  head.write(name);
  head.write("0000644\0", 100);
  head.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  return Buffer.concat([
    head,
    content,
    Buffer.alloc((512 - (content.length % 512)) % 512),
    Buffer.alloc(1024),
  ]);
}

const filler = (bytes: number): string =>
  "the quick brown fox jumps over it\n".repeat(Math.ceil(bytes / 34)).slice(0, bytes);
const secret = Buffer.from(LINE);
const files =
  (path: string, content: string | Buffer) =>
  async (copy: WorkingCopy): Promise<Ran> => {
    await copy.commit({ [path]: content });
    return await copy.push();
  };
const utf16 = Buffer.from(`\ufeff${LINE}`, "utf16le");

const IN_FILES: readonly (readonly [string, (copy: WorkingCopy) => Promise<Ran>])[] = [
  ["plainly", files("a.txt", LINE)],
  [
    "in an executable file",
    async (copy) => {
      copy.write("run.sh", LINE);
      await must(["chmod", "+x", join(copy.folder, "run.sh")]);
      await copy.commit({});
      return await copy.push();
    },
  ],
  [
    "added, and removed by a later commit",
    async (copy) => {
      await copy.commit({ "a.txt": LINE });
      await copy.git("rm", "-q", "a.txt");
      await copy.commit({});
      return await copy.push();
    },
  ],
  [
    "in the middle of a long history",
    async (copy) => {
      for (let i = 0; i < 5; i++) await copy.commit({ "a.txt": i === 2 ? LINE : `${i}\n` });
      return await copy.push();
    },
  ],
  [
    "in an evil merge, which no parent has",
    async (copy) => {
      await copy.git("checkout", "-q", "-b", "side");
      await copy.commit({ "side.txt": "side\n" });
      await copy.git("checkout", "-q", "main");
      await copy.commit({ "main.txt": "main\n" });
      await copy.git("merge", "-q", "--no-commit", "side");
      copy.write("main.txt", LINE);
      await copy.commit({});
      return await copy.push();
    },
  ],
  [
    "on the side of a merge that the result dropped",
    async (copy) => {
      await copy.git("checkout", "-q", "-b", "side");
      await copy.commit({ "side.txt": LINE });
      await copy.git("checkout", "-q", "main");
      await copy.commit({ "main.txt": "main\n" });
      await copy.git("merge", "-q", "-s", "ours", "side");
      return await copy.push();
    },
  ],
  [
    "in a history without a root in common",
    async (copy) => {
      await copy.git("checkout", "-q", "--orphan", "fresh");
      await copy.commit({ "a.txt": LINE });
      return await copy.push();
    },
  ],
  ["in a binary", files("a.bin", Buffer.concat([Buffer.alloc(64), secret, Buffer.alloc(64, 0xff)]))],
  ["far into a large file", files("big.txt", filler(700_000) + LINE + filler(100_000))],
  [
    "across the border of what is looked at together",
    files("big.txt", filler(256 * 1024 - 20) + LINE + filler(400_000)),
  ],
  ["in base64", files("a.txt", `${Buffer.from(`some words before ${LINE} and after`).toString("base64")}\n`)],
  ["in hex", files("a.txt", `${secret.toString("hex")}\n`)],
  ["in UTF-16", files("a.txt", utf16)],
  [
    "in base64 of base64",
    files("a.txt", Buffer.from(Buffer.from(`x ${LINE}`).toString("base64")).toString("base64")),
  ],
  [
    "in an ignored path",
    async (copy) => {
      copy.write(".gitignore", "*\n");
      await copy.commit({ "node_modules/x/key.pem.svg": LINE });
      return await copy.push();
    },
  ],
  ["in a lock file below vendor/", files("vendor/go.sum", LINE)],
  [
    "marked as allowed",
    files("a.js", `const t = "${TOKEN}"; // gitleaks:allow nosec pragma: allowlist secret\n`),
  ],
  [
    "beside ignore files of scanners",
    async (copy) => {
      await copy.commit({
        "a.txt": LINE,
        ".gitleaksignore": "a.txt:github-pat:1\n",
        ".gitleaks.toml": '[allowlist]\npaths = [".*"]\n',
        ".secretlintignore": "*\n",
        ".github/secret_scanning.yml.txt": "paths-ignore: ['**']\n",
      });
      return await copy.push();
    },
  ],
  [
    "below attributes that call it binary, unmergeable and not exported",
    async (copy) => {
      await copy.commit({
        ".gitattributes": "* -diff -text binary export-ignore linguist-generated\n",
        "a.txt": LINE,
      });
      return await copy.push();
    },
  ],
  [
    "as a link's target",
    async (copy) => {
      symlinkSync(TOKEN, join(copy.folder, "link"));
      await copy.commit({});
      return await copy.push();
    },
  ],
  ["in a gzip file", files("a.gz", gzipSync(secret))],
  [
    "in the second member of a gzip file",
    files("a.gz", Buffer.concat([gzipSync("first\n"), gzipSync(secret)])),
  ],
  [
    "in a gzip file behind junk",
    files("a.dat", Buffer.concat([Buffer.from("junk\x1f\x8b\x1f"), gzipSync(secret)])),
  ],
  ["in a truncated gzip file", files("a.gz", gzipSync(Buffer.from(LINE + filler(9_000))).subarray(0, -9))],
  ["in a large gzip file, at its end", files("a.gz", gzipSync(Buffer.from(filler(900_000) + LINE)))],
  ["in a tar", files("a.tar", tar("key", secret))],
  ["in a tar.gz", files("a.tgz", gzipSync(tar("key", secret)))],
  ["in a zip", files("a.zip", zip({ "x/key.txt": secret }))],
  ["in a zip's second member", files("a.zip", zip({ "a.txt": Buffer.from("a\n"), "key.txt": secret }))],
  ["in a zip that stores its members", files("a.zip", zip({ "key.txt": secret }, { method: 0 }))],
  ["in a zip without a table", files("a.zip", zip({ "key.txt": secret }, { table: false }))],
  [
    "in a self-extracting zip",
    files("a.exe", Buffer.concat([Buffer.from("MZ"), Buffer.alloc(5000, 7), zip({ k: secret })])),
  ],
  [
    "in a zip in a tar in a gzip in a zip",
    files("a.jar", zip({ "b.tgz": gzipSync(tar("c.zip", zip({ key: secret }))) })),
  ],
  ["in the name of a zip's member", files("a.zip", zip({ [TOKEN]: Buffer.from("x") }))],
];

const ELSEWHERE: readonly (readonly [string, (copy: WorkingCopy) => Promise<Ran>])[] = [
  [
    "a commit's message",
    async (copy) => {
      await copy.commit({ "a.txt": "a\n" }, `work\n\nwith ${TOKEN}\n`);
      return await copy.push();
    },
  ],
  [
    "a trailer",
    async (copy) => {
      await copy.commit({ "a.txt": "a\n" }, `work\n\nReviewed-by: ${TOKEN}\n`);
      return await copy.push();
    },
  ],
  [
    "the author's name",
    async (copy) => {
      await copy.git(
        "-c",
        `user.name=x`,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
        `--author=${TOKEN} <a@b.example>`,
      );
      return await copy.push();
    },
  ],
  [
    "the author's address",
    async (copy) => {
      await copy.git("commit", "-q", "--allow-empty", "-m", "x", `--author=A <${TOKEN}@b.example>`);
      return await copy.push();
    },
  ],
  [
    "a header of a commit that nothing shows",
    async (copy) => {
      const plain = await copy.git("cat-file", "commit", "HEAD");
      const [heads = "", ...rest] = plain.split("\n\n");
      const parent = await copy.git("rev-parse", "HEAD");
      const raw = `${heads.split("\n")[0]}\nparent ${parent}\n${heads.split("\n").slice(1).join("\n")}\nx-note ${TOKEN}\n\n${rest.join("\n\n")}\n`;
      const made = await run(["git", "hash-object", "-t", "commit", "-w", "--stdin"], {
        cwd: copy.folder,
        input: raw,
      });
      expect(made.code, made.stderr).toBe(0);
      await copy.git("update-ref", "refs/heads/odd", made.stdout.trim());
      return await copy.try("push", "origin", `odd:${OWN}/odd`);
    },
  ],
  [
    "a signature",
    async (copy) => {
      const raw = (await copy.git("cat-file", "commit", "HEAD")).replace(
        "\n\n",
        `\ngpgsig ${TOKEN}\n more\n\n`,
      );
      const made = await run(["git", "hash-object", "-t", "commit", "-w", "--stdin"], {
        cwd: copy.folder,
        input: `${raw}\n`,
      });
      await copy.git("update-ref", "refs/heads/odd", made.stdout.trim());
      return await copy.try("push", "origin", `odd:${OWN}/odd`);
    },
  ],
  [
    "a tag's message",
    async (copy) => {
      await copy.git("tag", "-a", "v1", "-m", `released with ${TOKEN}`);
      return await copy.try("push", "origin", "v1");
    },
  ],
  [
    "a tag within a tag",
    async (copy) => {
      await copy.git("tag", "-a", "inner", "-m", `released with ${TOKEN}`);
      await copy.git("tag", "-a", "v2", "inner", "-m", "outer");
      return await copy.try("push", "origin", "v2");
    },
  ],
  [
    "a note",
    async (copy) => {
      await copy.git("notes", "add", "-m", TOKEN);
      return await copy.try("push", "origin", "refs/notes/commits");
    },
  ],
  ["a file's name", files(`docs/${TOKEN}.md`, "x\n")],
  ["a folder's name", files(`docs/${TOKEN}/x.md`, "x\n")],
  ["a path, of which no folder's name alone is one", files(`docs/${WEBHOOK}`, "x\n")],
  [
    "the name of a file that a later commit removes",
    async (copy) => {
      await copy.commit({ [`${TOKEN}.md`]: "x\n" });
      await copy.git("rm", "-q", `${TOKEN}.md`);
      await copy.commit({});
      return await copy.push();
    },
  ],
  [
    "the name of an empty folder, which no change shows",
    async (copy) => {
      const empty = await must(["git", "mktree"], { cwd: copy.folder });
      const tree = await must(["git", "mktree"], {
        cwd: copy.folder,
        input: `040000 tree ${empty}\t${TOKEN}\n`,
      });
      const commit = await copy.git("commit-tree", tree, "-p", "HEAD", "-m", "x");
      return await copy.try("push", "origin", `${commit}:${OWN}/empty`);
    },
  ],
  [
    "a branch's name",
    async (copy) => {
      await copy.commit({ "a.txt": "a\n" });
      return await copy.push(TOKEN);
    },
  ],
  [
    "an object that a replacement hides from its owner",
    async (copy) => {
      await copy.commit({ "a.txt": LINE });
      const blob = await copy.git("rev-parse", "HEAD:a.txt");
      const harmless = await must(["git", "hash-object", "-w", "--stdin"], {
        cwd: copy.folder,
        input: "harmless\n",
      });
      await copy.git("replace", blob, harmless);
      return await copy.try("push", "origin", `HEAD:${OWN}/replaced`);
    },
  ],
  [
    "a replacement's own object",
    async (copy) => {
      const secretBlob = await must(["git", "hash-object", "-w", "--stdin"], {
        cwd: copy.folder,
        input: LINE,
      });
      const tree = await must(["git", "mktree"], {
        cwd: copy.folder,
        input: `100644 blob ${secretBlob}\tx\n`,
      });
      const commit = await copy.git("commit-tree", tree, "-m", "x");
      return await copy.try(
        "push",
        "origin",
        `${commit}:refs/replace/${await copy.git("rev-parse", "HEAD")}`,
      );
    },
  ],
  [
    "a file moved behind another commit by push.atomic and several refs",
    async (copy) => {
      const clean = await copy.commit({ "a.txt": "a\n" });
      const dirty = await copy.commit({ "a.txt": LINE });
      return await copy.try("push", "--atomic", "origin", `${clean}:${OWN}/one`, `${dirty}:${OWN}/two`);
    },
  ],
  [
    "the second of two branches pushed without --atomic",
    async (copy) => {
      const clean = await copy.commit({ "a.txt": "a\n" });
      const dirty = await copy.commit({ "a.txt": LINE });
      return await copy.try("push", "origin", `${clean}:${OWN}/one`, `${dirty}:${OWN}/two`);
    },
  ],
];

describe("a secret does not pass", () => {
  it.each(IN_FILES)("%s", async (_, attack) => {
    const { stderr } = await target.refuses("secret-found", attack);
    expect(stderr).not.toContain(TOKEN);
    expect(stderr).toMatch(/found: github-token in .*\[masked, mark [0-9a-f]{16}\]/);
  });

  it.each(ELSEWHERE)("in %s", async (_, attack) => {
    const { stderr } = await target.refuses("secret-found", attack);
    const remote = stderr.split("\n").filter((line) => line.startsWith("remote: "));
    expect(remote.join("\n")).not.toContain(TOKEN);
    expect(JSON.stringify(target.site.messages)).not.toContain(TOKEN);
  });

  it("in a commit that a graft hides from the one who pushes: receive-pack misses what it stands on", async () => {
    const copy = await target.copy();
    await copy.commit({ "a.txt": LINE });
    await copy.commit({ "a.txt": "clean\n" });
    const parent = await copy.git("rev-parse", "origin/main");
    copy.write(".git/info/grafts", `${await copy.git("rev-parse", "HEAD")} ${parent}\n`);
    const before = await snapshot(target.bare);
    const { code, stderr } = await copy.push("grafted");
    expect(code).not.toBe(0);
    expect(stderr).toContain("did not receive expected object");
    expect(await snapshot(target.bare)).toBe(before);
    expect(target.site.events("git.refused").at(-1)).toMatchObject({
      code: "pack-refused",
      updates: [{ ref: `${OWN}/grafted` }],
    });
  });

  it("nor any that the bottle's sidecars hold, which no exception lets through", async () => {
    await target.site.reload({
      exceptions: [{ repo: "app", code: "secret-found", subject: "DATABASE_URL" }],
    });
    const { stderr } = await target.refuses("secret-found", files("a.txt", `postgres://${KNOWN}\n`));
    expect(stderr).toContain("DATABASE_URL");
    expect(stderr).not.toContain(KNOWN);
    expect(stderr).toContain('ask: explain_denial {"code":"secret-found","target":"push app ');
  });
});

describe("what a finding says", () => {
  it("is the rule, the path, the line, the commit that brought it, and how to ask", async () => {
    let culprit = "";
    const { stderr } = await target.refuses("secret-found", async (copy) => {
      await copy.commit({ "src/a.ts": "one\n" });
      culprit = await copy.commit({ "src/deep/b.ts": `one\ntwo\n${LINE}` });
      await copy.git("mv", "src/deep/b.ts", "c.ts");
      await copy.commit({});
      return await copy.push();
    });
    expect(stderr).toContain(
      `found: github-token in file src/deep/b.ts line 3, commit ${culprit}: [masked, mark `,
    );
    const [, mark] = /mark ([0-9a-f]{16})/.exec(stderr) ?? [];
    expect(stderr).toContain(
      `ask: request_exception {"repo":"app","code":"secret-found","subjects":["github-token:${mark}"]}`,
    );
    expect(target.site.events("git.refused").at(-1)).toMatchObject({
      repo: "app",
      code: "secret-found",
      findings: [{ rule: "github-token", in: "file", path: "src/deep/b.ts", line: 3, commit: culprit, mark }],
    });
  });

  it("names the members of archives, and the encodings", async () => {
    const archived = await target.refuses(
      "secret-found",
      files("x.jar", zip({ "b.tgz": gzipSync(tar("c", secret)) })),
    );
    expect(archived.stderr).toContain("in file x.jar > b.tgz > gzip member, commit ");
    const encoded = await target.refuses("secret-found", files("x.txt", `${secret.toString("hex")}\n`));
    expect(encoded.stderr).toContain(", encoded as hex: [masked");
  });

  it("is bound to that value alone when the operator grants it", async () => {
    const copy = await target.copy();
    await copy.commit({ "fixture.txt": LINE });
    const [, mark = ""] = /mark ([0-9a-f]{16})/.exec((await copy.push("granted")).stderr) ?? [];
    await target.site.reload({
      exceptions: [{ repo: "app", code: "secret-found", subject: `github-token:${mark}` }],
    });
    expect(await copy.push("granted")).toMatchObject({ code: 0 });
    await target.site.reload({ exceptions: [] });
    await target.refuses("secret-found", async (again) => {
      await again.commit({ "again.txt": `x ${LINE}` });
      return await again.push("again");
    });
  });
});

describe("an archive", () => {
  it("that is encrypted is refused, because nobody can look at it", async () => {
    const { stderr } = await target.refuses(
      "archive-unreadable",
      files("a.zip", zip({ "k.txt": secret }, { flags: 1, method: 8 })),
    );
    expect(stderr).toContain("a.zip: the member k.txt cannot be looked at: it is encrypted");
  });

  it("with a compression that is not opened is refused", async () => {
    await target.refuses(
      "archive-unreadable",
      files("a.zip", zip({ "k.txt": Buffer.from("x") }, { method: 14 })),
    );
  });

  it("with archives nested deeper than are opened is refused", async () => {
    let nested: Buffer = gzipSync("harmless");
    for (let i = 0; i < 5; i++) nested = gzipSync(nested);
    await target.refuses("archive-too-large", files("a.gz", nested));
  });

  it("made of beginnings is refused", async () => {
    const heads = Array.from({ length: 40 }, () => {
      const head = Buffer.alloc(31);
      head.write("PK\x03\x04", "latin1");
      head.writeUInt16LE(20, 4);
      head.writeUInt16LE(8, 8);
      head.writeUInt16LE(1, 26);
      head.write("x", 30);
      // The beginning of a stored block that holds what follows, so that all of them stay open.
      return Buffer.concat([head, Buffer.from([0, 0xff, 0x7f, 0x00, 0x80])]);
    });
    await target.refuses(
      "archive-too-large",
      files("a.bin", Buffer.concat([...heads, Buffer.alloc(40_000)])),
    );
  });

  it("of a format that is not opened passes, and is named in the log", async () => {
    const copy = await target.copy();
    await copy.commit({ "a.xz": Buffer.from("\xfd7zXZ\0 and so on", "latin1") });
    expect(await copy.push("xz")).toMatchObject({ code: 0 });
    expect(target.site.events("git.pushed").at(-1)).toMatchObject({ unopened: ["a.xz (xz)"] });
  });

  it("regression: is named in what the keeper reads at once, whatever the archives around it are called", async () => {
    const copy = await target.copy();
    const name = "\x01".repeat(4_000);
    const nested = (depth: number, content: Buffer): Buffer =>
      depth === 0 ? content : zip({ [name]: nested(depth - 1, content) });
    const packed = Array.from({ length: 20 }, (_, i) => [`${i}.zip`, nested(3, Buffer.from(`BZh${i}`))]);
    await copy.commit(Object.fromEntries(packed));
    expect(await copy.push("named")).toMatchObject({ code: 0 });
    const pushed = target.site.events("git.pushed").at(-1);
    expect(pushed?.["unopened"]).toHaveLength(20);
    expect(Buffer.byteLength(JSON.stringify(pushed))).toBeLessThan(256 * 1024 * 0.75);
  });
});

describe("limits", () => {
  it.each([
    [
      "file-too-large",
      { fileBytes: 1000 },
      async (copy: WorkingCopy) => {
        await copy.commit({ "a.txt": "x".repeat(1001) });
      },
    ],
    [
      "too-many-objects",
      { objects: 5 },
      async (copy: WorkingCopy) => {
        await copy.commit({ a: "1", b: "2", c: "3", d: "4" });
      },
    ],
    [
      "too-many-files",
      { files: 2 },
      async (copy: WorkingCopy) => {
        await copy.commit({ a: "1", b: "2", c: "3" });
      },
    ],
  ] as const)("refuses with %s", async (code, change, arrange) => {
    await target.site.reload({}, { limits: { ...DEFAULT_GIT_LIMITS, ...change } });
    await target.refuses(code, async (copy) => {
      await arrange(copy);
      return await copy.push("limited");
    });
    await target.site.reload({});
  });

  it("refuses a pack that is too large before it is looked at", async () => {
    await target.site.reload({}, { limits: { ...DEFAULT_GIT_LIMITS, packBytes: 2000 } });
    const copy = await target.copy();
    await copy.commit({ "a.bin": randomBytes(9000) });
    const { code, stderr } = await copy.push("large");
    expect(code).not.toBe(0);
    expect(stderr).toContain("pack exceeds maximum allowed size");
    expect(await must(["git", "--git-dir", target.bare, "for-each-ref", `${OWN}/large`])).toBe("");
    expect(target.site.events("git.refused").at(-1)).toMatchObject({ code: "pack-refused" });
    await target.site.reload({});
  });
});

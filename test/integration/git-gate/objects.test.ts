/** Objects and packs that no honest git makes; each leaves upstream and the mirror byte for byte as they were. */
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_GIT_LIMITS } from "../../../src/contract/git-gate.ts";
import { startTarget, type Target } from "../../support/git-attack.ts";
import { must, OWN, type Ran, run, snapshot, TOKEN, type WorkingCopy } from "../../support/git-gate.ts";
import { residentOf } from "../../support/git-gate-process.ts";
import { deltaOf, objectId, type PackObject, packOf, rawPush } from "../../support/raw-push.ts";

let target: Target;
let copy: WorkingCopy;
beforeAll(async () => {
  target = await startTarget();
  copy = await target.copy();
});
afterAll(() => target.close());

const ZERO = "0".repeat(40);
const WHO = "A <a@b.example> 1700000000 +0000";
let branches = 0;
const fresh = (): string => {
  branches += 1;
  return `${OWN}/o${branches}`;
};

const commitOf = (tree: string, parent?: string, more = ""): Buffer =>
  Buffer.from(
    `tree ${tree}\n${parent === undefined ? "" : `parent ${parent}\n`}author ${WHO}\ncommitter ${WHO}\n${more}\nx\n`,
  );
const treeOf = (...entries: readonly (readonly [mode: string, name: string, id: string])[]): Buffer =>
  Buffer.concat(
    entries.flatMap(([mode, name, id]) => [
      Buffer.from(`${mode} ${name}\0`, "latin1"),
      Buffer.from(id, "hex"),
    ]),
  );

/** A pack whose only commit stands on main's and has this tree. */
async function commitOn(tree: Buffer, ...more: readonly PackObject[]): Promise<readonly [string, Buffer]> {
  const commit = commitOf(objectId("tree", tree), await copy.git("rev-parse", "origin/main"));
  const pack = packOf([{ type: "commit", data: commit }, { type: "tree", data: tree }, ...more]);
  return [objectId("commit", commit), pack];
}

const BLOB = Buffer.from("harmless\n");
const BLOB_ID = objectId("blob", BLOB);
const blob: PackObject = { type: "blob", data: BLOB };
const secret = Buffer.from(`key = "${TOKEN}"\n`);

/** Refused with this code, and nothing has changed. */
async function refusesRaw(code: string, tip: string, pack: Buffer, ref = fresh()): Promise<string> {
  const mirror = join(target.site.config.stateDir, "app.git");
  const before = [await snapshot(target.bare), await snapshot(mirror)];
  const { status, text } = await rawPush(`${target.site.url}/app.git`, [`${ZERO} ${tip} ${ref}`], pack);
  expect(status).toBe(200);
  expect(text).toContain(`denied: ${code}: `);
  expect(text).toContain(`ng ${ref} `);
  expect([await snapshot(target.bare), await snapshot(mirror)]).toEqual(before);
  expect(target.site.events("git.refused").at(-1)).toMatchObject({ code });
  return text;
}

describe("control", () => {
  it("a pack made by hand arrives when nothing is wrong with it", async () => {
    const [tip, pack] = await commitOn(treeOf(["100644", "a.txt", BLOB_ID]), blob);
    const ref = fresh();
    const { text } = await rawPush(`${target.site.url}/app.git`, [`${ZERO} ${tip} ${ref}`], pack);
    expect(text).toContain(`ok ${ref}`);
    expect(await must(["git", "--git-dir", target.bare, "rev-parse", ref])).toBe(tip);
  });
});

/** Trees that would do something to whoever checks them out, or that git and others read differently. */
const TREES: readonly (readonly [string, Buffer])[] = [
  ["a folder .git", treeOf(["40000", ".git", objectId("tree", Buffer.alloc(0))])],
  ["a file .GIT", treeOf(["100644", ".GIT", BLOB_ID])],
  ["NTFS's short name of .git", treeOf(["100644", "git~1", BLOB_ID])],
  [".git as HFS+ reads it", treeOf(["100644", Buffer.from(".g‌it").toString("latin1"), BLOB_ID])],
  [".git with a stream of NTFS", treeOf(["100644", ".git::$INDEX_ALLOCATION", BLOB_ID])],
  ["a folder above", treeOf(["40000", "..", objectId("tree", Buffer.alloc(0))])],
  ["itself", treeOf(["40000", ".", objectId("tree", Buffer.alloc(0))])],
  ["a name with a slash", treeOf(["100644", "a/../../.bashrc", BLOB_ID])],
  ["a name of nothing", treeOf(["100644", "", BLOB_ID])],
  ["a name twice", treeOf(["100644", "a", BLOB_ID], ["120000", "a", BLOB_ID])],
  ["names out of order", treeOf(["100644", "b", BLOB_ID], ["100644", "a", BLOB_ID])],
  ["an id of zeros", treeOf(["100644", "a", ZERO])],
  ["a mode with a zero before it", treeOf(["0100644", "a", BLOB_ID])],
  ["a .gitmodules that is a link", treeOf(["120000", ".gitmodules", BLOB_ID])],
  ["a .gitmodules that is a link, in NTFS's words", treeOf(["120000", "GITMOD~1", BLOB_ID])],
  ["what is no tree at all", Buffer.from("100644")],
];

const MODULES: readonly (readonly [string, string])[] = [
  ["an option of git's as its URL", '[submodule "x"]\n\tpath = x\n\turl = -u./payload\n'],
  ["--upload-pack as its URL", '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch\n'],
  ["an option as its path", '[submodule "x"]\n\tpath = -x\n\turl = https://a.example/x\n'],
  ["a name that leads out", '[submodule "../../hooks"]\n\tpath = x\n\turl = https://a.example/x\n'],
  ["a URL with a line break", '[submodule "x"]\n\tpath = x\n\turl = "https://a.example/%0ahost=b"\n'],
  ["a command to update with", '[submodule "x"]\n\tpath = x\n\tupdate = !touch x\n'],
];

describe("refuses", () => {
  it.each(TREES)("a tree with %s", async (_, tree) => {
    await refusesRaw("pack-refused", ...(await commitOn(tree, blob)));
  });

  it.each(MODULES)("a .gitmodules with %s", async (_, text) => {
    const data = Buffer.from(text);
    const tree = treeOf(["100644", ".gitmodules", objectId("blob", data)]);
    await refusesRaw("pack-refused", ...(await commitOn(tree, { type: "blob", data })));
  });

  it.each([
    [
      "an insteadOf for everybody",
      '[url "https://evil.example/"]\n\tinsteadOf = https://\n[submodule "x"]\n\turl = ../x\n',
    ],
    ["the gate's own name", '[submodule "x"]\n\tpath = x\n\turl = git-gate:app\n'],
  ])("a .gitmodules with %s", async (_, text) => {
    const data = Buffer.from(text);
    const tree = treeOf(["100644", ".gitmodules", objectId("blob", data)]);
    await refusesRaw("submodule-url", ...(await commitOn(tree, { type: "blob", data })));
  });

  it.each<readonly [string, (tree: string, parent: string) => Buffer]>([
    ["without an author", (tree) => Buffer.from(`tree ${tree}\ncommitter ${WHO}\n\nx\n`)],
    [
      "with a NUL in a name",
      (tree, parent) => Buffer.from(commitOf(tree, parent).toString().replace("A <", "A\0 <")),
    ],
    ["with two trees", (tree, parent) => Buffer.from(`tree ${tree}\n${commitOf(tree, parent)}`)],
    ["with a parent that is no id", (tree) => commitOf(tree, "main")],
    ["whose tree is a commit", (_, parent) => commitOf(parent)],
    ["whose parent is a tree", (tree) => commitOf(tree, tree)],
    ["whose tree nobody has", () => commitOf("ab".repeat(20))],
    ["whose parent nobody has", (tree) => commitOf(tree, "cd".repeat(20))],
  ])("a commit %s", async (_, make) => {
    const tree = treeOf(["100644", "a", BLOB_ID]);
    const data = make(objectId("tree", tree), await copy.git("rev-parse", "origin/main"));
    const pack = packOf([{ type: "commit", data }, { type: "tree", data: tree }, blob]);
    await refusesRaw("pack-refused", objectId("commit", data), pack);
  });

  it("a tree with a file that nobody has", async () => {
    await refusesRaw("pack-refused", ...(await commitOn(treeOf(["100644", "a", "ef".repeat(20)]))));
  });

  it("a pack that ends too early, lies about its number, its sum or a length", async () => {
    const [tip, pack] = await commitOn(treeOf(["100644", "a", BLOB_ID]), blob);
    const wrongSum = Buffer.from(pack);
    wrongSum[wrongSum.length - 1] = (wrongSum.at(-1) ?? 0) ^ 1;
    const tree = treeOf(["100644", "a", BLOB_ID]);
    const commit = commitOf(objectId("tree", tree));
    const objects: readonly PackObject[] = [
      { type: "commit", data: commit },
      { type: "tree", data: tree },
    ];
    for (const bytes of [
      pack.subarray(0, pack.length - 30),
      wrongSum,
      packOf([...objects, blob], 2),
      packOf([...objects, blob], 4),
      packOf([...objects, blob], 0xffffffff),
      packOf([...objects, { ...blob, size: 3 }]),
      packOf([...objects, { ...blob, size: 2 ** 40 }]),
      Buffer.from("PACK\0\0\0\x09\0\0\0\x01", "latin1"),
    ]) {
      await refusesRaw("pack-refused", bytes.equals(wrongSum) ? tip : objectId("commit", commit), bytes);
    }
  });

  it("a delta that stands on what only the upstream has, behind a ref that the gate does not show", async () => {
    const hidden = Buffer.from(`${"a hidden line\n".repeat(50)}`);
    const id = await must(["git", "--git-dir", target.bare, "hash-object", "-w", "--stdin"], {
      input: hidden,
    });
    const data = Buffer.concat([hidden, Buffer.from("more\n")]);
    const tree = treeOf(["100644", "a", objectId("blob", data)]);
    const delta = deltaOf(hidden.length, [[0, hidden.length], "more\n"]);
    await refusesRaw("pack-refused", ...(await commitOn(tree, { type: "delta", base: id, data: delta })));
  });

  it("a delta that stands on itself, on nothing, or copies from beyond its base", async () => {
    const tree = treeOf(["100644", "a", BLOB_ID]);
    const readme = await copy.git("rev-parse", "origin/main:README.md");
    for (const object of [
      { type: "delta", base: BLOB_ID, data: deltaOf(BLOB.length, [[0, BLOB.length]]) },
      { type: "delta", base: ZERO, data: deltaOf(1, ["x"]) },
      { type: "delta", base: readme, data: deltaOf(6, [[0, 0xfffff]]) },
      { type: "offset delta", data: Buffer.from([0x80, 0x80]) },
    ] as const) {
      await refusesRaw("pack-refused", ...(await commitOn(tree, object)));
    }
  });

  it("a secret that a delta puts together from what the upstream has and what it has not", async () => {
    const base = Buffer.from("# app\n");
    const readme = await copy.git("rev-parse", "origin/main:README.md");
    const data = Buffer.concat([base, secret]);
    const delta = deltaOf(base.length, [[0, base.length], secret.toString()]);
    const tree = treeOf(["100644", "a", objectId("blob", data)]);
    const text = await refusesRaw(
      "secret-found",
      ...(await commitOn(tree, { type: "delta", base: readme, data: delta })),
    );
    expect(text).not.toContain(TOKEN);
  });

  it("more refs than a person reads", async () => {
    const [tip, pack] = await commitOn(treeOf(["100644", "a", BLOB_ID]), blob);
    const before = await snapshot(target.bare);
    const commands = Array.from({ length: 101 }, () => `${ZERO} ${tip} ${fresh()}`);
    const { text } = await rawPush(`${target.site.url}/app.git`, commands, pack);
    expect(text).toContain("denied: push-malformed: the push names more than 100 refs");
    expect(await snapshot(target.bare)).toBe(before);
  });
});

/** Objects that the client's git brings from elsewhere: what is sent is what is looked at. */
const BORROWED: readonly (readonly [string, (copy: WorkingCopy, lender: string) => Promise<Ran>])[] = [
  [
    "objects/info/alternates",
    async (borrower, lender) => {
      writeFileSync(
        join(borrower.folder, ".git/objects/info/alternates"),
        `${join(lender, ".git/objects")}\n`,
      );
      const commit = await must(["git", "rev-parse", "HEAD"], { cwd: lender });
      return await borrower.try("push", "origin", `${commit}:${fresh()}`);
    },
  ],
  [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    async (borrower, lender) => {
      const commit = await must(["git", "rev-parse", "HEAD"], { cwd: lender });
      return await run(["git", "push", "origin", `${commit}:${fresh()}`], {
        cwd: borrower.folder,
        env: { GIT_ALTERNATE_OBJECT_DIRECTORIES: join(lender, ".git/objects") },
      });
    },
  ],
  [
    "an object folder that is a link",
    async (borrower, lender) => {
      await must(["rm", "-rf", join(borrower.folder, ".git/objects")]);
      symlinkSync(join(lender, ".git/objects"), join(borrower.folder, ".git/objects"));
      const commit = await must(["git", "rev-parse", "HEAD"], { cwd: lender });
      return await borrower.try("push", "--thin", "origin", `${commit}:${fresh()}`);
    },
  ],
];

describe("looks at what the client borrows", () => {
  it.each(BORROWED)("through %s", async (_, attack) => {
    const lender = await target.copy();
    await lender.commit({ "a.txt": secret });
    await target.refuses("secret-found", (borrower) => attack(borrower, lender.folder));
  });
});

/** What the programs of this gate took of memory, at most, while it ran. */
async function peakOf(work: () => Promise<void>): Promise<number> {
  let peak = 0;
  const { stateDir } = target.site.config;
  const watch = setInterval(() => {
    peak = Math.max(peak, residentOf(stateDir));
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(watch);
  }
  return peak;
}

describe("is not worn out by", () => {
  const MIB = 1024 ** 2;
  const limits = { ...DEFAULT_GIT_LIMITS, fileBytes: 32 * MIB, objects: 1000, files: 5000 };
  beforeAll(() => target.site.reload({}, { limits }));
  afterAll(() => target.site.reload({}));

  it("a file of zeros that is a thousand times its pack", async () => {
    const data = Buffer.alloc(300 * MIB);
    const tree = treeOf(["100644", "a", objectId("blob", data)]);
    const [tip, pack] = await commitOn(tree, { type: "blob", data });
    expect(pack.length).toBeLessThan(MIB);
    const peak = await peakOf(async () => void (await refusesRaw("file-too-large", tip, pack)));
    expect(peak).toBeLessThan(200 * MIB);
  });

  it("a delta of a few bytes that is a gigabyte", async () => {
    const base = Buffer.alloc(MIB, 97);
    const parts = Array.from({ length: 900 }, () => [0, MIB - 1] as const);
    const delta = deltaOf(MIB, parts);
    const tree = treeOf(["100644", "a", "ab".repeat(20)]);
    const [tip, pack] = await commitOn(
      tree,
      { type: "blob", data: base },
      { type: "delta", base: objectId("blob", base), data: delta },
    );
    const peak = await peakOf(async () => void (await refusesRaw("pack-refused", tip, pack)));
    expect(peak).toBeLessThan(200 * MIB);
  });

  it("a chain of deltas as long as a push may have objects", async () => {
    let data = Buffer.alloc(64 * 1024, 98);
    const objects: PackObject[] = [{ type: "blob", data }];
    for (let i = 0; i < 900; i++) {
      const base = objectId("blob", data);
      const word = String(i).padStart(6, "0");
      const delta = deltaOf(data.length, [[0, data.length - 6], word]);
      data = Buffer.concat([data.subarray(0, -6), Buffer.from(word)]);
      objects.push({ type: "delta", base, data: delta });
    }
    const tree = treeOf(["100644", "a", objectId("blob", data)]);
    const [tip, pack] = await commitOn(tree, ...objects);
    const ref = fresh();
    const peak = await peakOf(async () => {
      const { text } = await rawPush(`${target.site.url}/app.git`, [`${ZERO} ${tip} ${ref}`], pack);
      expect(text).toContain(`ok ${ref}`);
    });
    expect(peak).toBeLessThan(200 * MIB);
  });

  it("a few folders that stand for ten thousand million paths", async () => {
    const objects: PackObject[] = [blob];
    let [mode, below] = ["100644", BLOB_ID];
    let tree: Buffer = Buffer.alloc(0);
    for (let depth = 0; depth < 10; depth++) {
      tree = treeOf(...Array.from({ length: 10 }, (_, i) => [mode, `d${i}`, below] as const));
      objects.push({ type: "tree", data: tree });
      [mode, below] = ["40000", objectId("tree", tree)];
    }
    const commit = commitOf(below, await copy.git("rev-parse", "origin/main"));
    const pack = packOf([{ type: "commit", data: commit }, ...objects]);
    await refusesRaw("too-many-files", objectId("commit", commit), pack);
  });

  it("a large rules file that lies under thousands of paths", async () => {
    const data = Buffer.from("*.a text\n".repeat(MIB / 9));
    const leaf = treeOf(["100644", ".gitattributes", objectId("blob", data)]);
    const many = (id: string): Buffer =>
      treeOf(...Array.from({ length: 50 }, (_, i) => ["40000", `d${i + 10}`, id] as const));
    const middle = many(objectId("tree", leaf));
    const [tip, pack] = await commitOn(
      many(objectId("tree", middle)),
      ...([leaf, middle].map((tree) => ({ type: "tree", data: tree })) as PackObject[]),
      { type: "blob", data },
    );
    expect(pack.length).toBeLessThan(64 * 1024);
    const ref = fresh();
    const { text } = await rawPush(`${target.site.url}/app.git`, [`${ZERO} ${tip} ${ref}`], pack);
    expect(text).toContain(`ok ${ref}`);
  });

  it("more objects than a push may have, and a tag of a tag of a tag", async () => {
    const many = Array.from({ length: 1100 }, (_, i) => Buffer.from(`${i}\n`));
    const names = many.map(
      (data, i) => ["100644", String(i).padStart(5, "0"), objectId("blob", data)] as const,
    );
    const [tip, pack] = await commitOn(
      treeOf(...names),
      ...many.map((data) => ({ type: "blob", data }) as const),
    );
    await refusesRaw("too-many-objects", tip, pack);

    const objects: PackObject[] = [];
    let [type, id] = ["commit", await copy.git("rev-parse", "origin/main")];
    for (let i = 0; i < 900; i++) {
      const data = Buffer.from(`object ${id}\ntype ${type}\ntag t${i}\ntagger ${WHO}\n\nx\n`);
      objects.push({ type: "tag", data });
      [type, id] = ["tag", objectId("tag", data)];
    }
    await refusesRaw("ref-not-allowed", id, packOf(objects), "refs/tags/deep");
  });
});

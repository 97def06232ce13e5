/**
 * Layers that nobody would make. Whatever they are, they are refused in words or come to a disk that e2fsck finds
 * sound; and where umoci, which shares no code with us, takes them too, it finds the same tree in them.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArchiveError } from "../../src/lib/archive/tar-format.ts";
import { UserError } from "../../src/lib/errors.ts";
import { run } from "../../src/lib/processes.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { type RawEntry, rawArchive, withPax } from "../support/archive-bytes.ts";
import { fuzzRun } from "../support/fuzz-run.ts";
import { hasImageTools, makeLayout } from "../support/oci.ts";
import { type MadeDisk, makeDisk } from "../support/raw-disk.ts";

const { seed, milliseconds, timeout } = fuzzRun("image layers");
/** umoci is a program to start for each layer. */
const RUNS_AGAINST_UMOCI = Math.max(8, Math.round(milliseconds / 1_000));

const part = fc.constantFrom("a", "b", "c", "dir", "etc");
const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const odd = fc.oneof(
  path,
  fc.array(fc.constantFrom("a", "b", "..", ".", "", "dir"), { maxLength: 5 }).map((parts) => parts.join("/")),
  fc.string({ unit: "binary", maxLength: 90 }),
);
const target = fc.oneof(
  path,
  path.map((to) => `/${to}`),
  path.map((to) => `../${to}`),
);

const honest: fc.Arbitrary<RawEntry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      name: path,
      content: fc.string({ maxLength: 20 }),
      mode: fc.constantFrom(0o644, 0o755, 0o600),
    }),
  },
  { weight: 3, arbitrary: path.map((name) => ({ name, flag: "5", mode: 0o755 })) },
  { weight: 1, arbitrary: fc.record({ name: path, flag: fc.constant("2"), target }) },
  {
    weight: 1,
    arbitrary: path.map((name) => ({ name: `${name.replace(/[^/]+$/, "")}.wh.${name.split("/").at(-1)}` })),
  },
);
const hostile: fc.Arbitrary<RawEntry | Buffer> = fc.oneof(
  honest,
  fc.record({
    name: odd,
    flag: fc.constantFrom("0", "1", "2", "3", "4", "5", "6", "7", "L", "K", "x", "g", "S"),
    target: odd,
  }),
  fc.record({ name: path, flag: fc.constant("1"), target: odd }),
  odd.map((name) => ({ name: `.wh.${name}` })),
  fc
    .record({
      key: fc.constantFrom(
        "path",
        "linkpath",
        "size",
        "uid",
        "mtime",
        "GNU.sparse.map",
        "GNU.sparse.major",
        "SCHILY.xattr.user.x",
      ),
      value: fc.oneof(odd, fc.integer().map(String), fc.constant("1"), fc.constant("0,4,9,1")),
      name: path,
    })
    .map(({ key, value, name }) => withPax({ [key]: value }, { name, content: "content" })),
);

/** Undefined when it is refused as it should be. */
async function made(layers: readonly Buffer[]): Promise<MadeDisk | undefined> {
  try {
    return await makeDisk(layers);
  } catch (error) {
    if (error instanceof ArchiveError || error instanceof UserError) return undefined;
    throw error;
  }
}

describe("layers that nobody would make", () => {
  it(
    "are refused in words, or come to a disk that is sound",
    async () => {
      const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });
      const layer = fc.tuple(fc.array(hostile, { maxLength: 8 }), damage).map(([parts, changes]) => {
        const bytes = rawArchive(...parts);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes;
      });
      let sound = 0;
      const property = fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 3 }), async (layers) => {
        const disk = await made(layers);
        if (disk === undefined) return;
        sound += 1;
        await disk.check().finally(() => disk.remove());
      });
      await fc.assert(property, {
        seed,
        numRuns: 1_000_000,
        interruptAfterTimeLimit: milliseconds,
        markInterruptAsFailure: false,
      });
      // Something was tried.
      expect(sound).toBeGreaterThan(0);
    },
    timeout,
  );

  it.skipIf(!hasImageTools)(
    "come to the tree that umoci finds in them",
    async () => {
      let compared = 0;
      const layers = fc.array(fc.array(honest, { minLength: 1, maxLength: 10 }), {
        minLength: 1,
        maxLength: 3,
      });
      const property = fc.asyncProperty(layers, async (parts) => {
        const bytes = parts.map((each) => rawArchive(...each));
        const layout = await makeLayout(bytes);
        const bundle = `${layout.path}-bundle`;
        try {
          const [disk, unpacked] = [
            await made(bytes),
            await run(["umoci", "unpack", "--rootless", "--image", `${layout.path}:${layout.ref}`, bundle]),
          ];
          if (disk === undefined || unpacked.code !== 0) return;
          compared += 1;
          expect(await treeOnDisk(disk)).toEqual(treeBelow(join(bundle, "rootfs")));
          disk.remove();
        } finally {
          await removeTree(bundle);
          layout.remove();
        }
      });
      await fc.assert(property, { seed, numRuns: RUNS_AGAINST_UMOCI });
      expect(compared).toBeGreaterThan(0);
    },
    timeout,
  );
});

type Tree = Record<string, string>;

async function treeOnDisk(disk: MadeDisk): Promise<Tree> {
  const found: Tree = {};
  const look = async (at: string, folder: MadeDisk["root"]): Promise<void> => {
    for (const [name, { node }] of folder.children) {
      const here = `${at}/${name}`;
      if (here === "/lost+found") continue;
      const mode = (node.attributes.mode & 0o777).toString(8);
      if (node.type === "directory") {
        found[here] = `folder ${mode}`;
        await look(here, node);
      } else if (node.type === "symlink") found[here] = `-> ${node.target}`;
      else found[here] = `file ${mode} ${await disk.bytes(here)}`;
    }
  };
  await look("", disk.root);
  return found;
}

function treeBelow(root: string): Tree {
  const found: Tree = {};
  const look = (at: string): void => {
    for (const name of readdirSync(join(root, at))) {
      const here = `${at}/${name}`;
      const status = lstatSync(join(root, here));
      const mode = (status.mode & 0o777).toString(8);
      if (status.isDirectory()) {
        found[here] = `folder ${mode}`;
        look(here);
      } else if (status.isSymbolicLink()) found[here] = `-> ${readlinkSync(join(root, here))}`;
      else found[here] = `file ${mode} ${readFileSync(join(root, here))}`;
    }
  };
  look("");
  return found;
}

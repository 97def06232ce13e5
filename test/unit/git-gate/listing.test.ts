/** What git shows of a push counts only when it was shown to its end: a program that dies leaves a shorter list. */
import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { type Change, readChanges } from "../../../src/sidecars/git-gate/scan/changes.ts";
import { readObjects } from "../../../src/sidecars/git-gate/scan/object-stream.ts";

const ID = "a".repeat(40);
const OTHER = "b".repeat(40);

/** In pieces of any length, as pipes give them. */
function piped(text: string, length: number): Readable {
  const bytes = Buffer.from(text, "latin1");
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += length) pieces.push(bytes.subarray(at, at + length));
  return Readable.from(pieces);
}

async function objectsOf(text: string, length = 7, most = 100): Promise<string[]> {
  const seen: string[] = [];
  let left = most;
  await readObjects(piped(text, length), {
    begin({ id, type, path }) {
      seen.push(`${type} ${id.slice(0, 1)} ${path}:`);
      left -= 1;
      return left > 0;
    },
    data(bytes) {
      seen.push(`${seen.pop() ?? ""}${bytes.toString()}`);
      return undefined;
    },
    end: () => undefined,
  });
  return seen;
}

const OBJECTS = `${ID} commit 5 \nhello\n${OTHER} blob 16 a b\n.. missing\nabcd\n\n`;

describe("a list of objects", () => {
  it.each([1, 3, 1_000])(
    "is read in pieces of %i, and its end is not taken from what a file holds",
    async (n) => {
      expect(await objectsOf(`${OBJECTS}.. missing\n`, n)).toEqual([
        "commit a :hello",
        "blob b a b:.. missing\nabcd\n",
      ]);
    },
  );

  it("without its end is none, wherever it breaks off", async () => {
    const whole = `${OBJECTS}.. missing\n`;
    for (let length = 0; length < whole.length; length++) {
      await expect(objectsOf(whole.slice(0, length)), `${length}`).rejects.toThrow("git did not show all");
    }
  });

  it("that goes on behind its end, or lacks an object, is none", async () => {
    await expect(objectsOf(`${OBJECTS}.. missing\n${ID} blob 0 x\n\n`)).rejects.toThrow("missing");
    await expect(objectsOf(`${ID} missing\n.. missing\n`)).rejects.toThrow("missing");
  });

  it("need not be read to its end by who has enough", async () => {
    expect(await objectsOf(OBJECTS, 1_000, 1)).toEqual(["commit a :"]);
  });
});

async function changesOf(text: string, most = 100, runs = 1): Promise<string[]> {
  const seen: string[] = [];
  const take =
    (run: string) =>
    ({ commit, letter, path }: Change): boolean => {
      seen.push(`${run}${commit.slice(0, 1)} ${letter} ${path}`);
      return seen.length < most;
    };
  await readChanges(
    piped(text, 11),
    ["", "then ", "at last "].slice(0, runs).map((run) => take(run)),
  );
  return seen;
}

const ZERO = "0".repeat(40);
const CHANGES = `${ID}\0:000000 100644 ${ZERO} ${OTHER} A\0..\n\0:100644 000000 ${ID} ${ZERO} D\0old\0`;

describe("a list of changes", () => {
  it("ends where git says so, and not with a path that looks like it", async () => {
    expect(await changesOf(`${CHANGES}..\n`)).toEqual(["a A ..\n", "a D old"]);
  });

  it("without its end is none, wherever it breaks off", async () => {
    const whole = `${CHANGES}..\n`;
    for (let length = 0; length < whole.length; length++) {
      await expect(changesOf(whole.slice(0, length)), `${length}`).rejects.toThrow(/git/);
    }
  });

  it("is followed by another, which may be empty", async () => {
    expect(await changesOf(`..\n${CHANGES}..\n`, 100, 2)).toEqual(["then a A ..\n", "then a D old"]);
    expect(await changesOf(`${CHANGES}..\n..\n`, 100, 2)).toEqual(["a A ..\n", "a D old"]);
    expect(await changesOf("..\n..\n..\n", 100, 3)).toEqual([]);
    for (const [text, runs] of [
      [`${CHANGES}..\n`, 2],
      [`${CHANGES}..\n..\n`, 1],
      [`..\n${CHANGES}`, 2],
    ] as const) {
      await expect(changesOf(text, 100, runs), text).rejects.toThrow("git could not compare");
    }
  });

  it("need not be read to its end by who has enough", async () => {
    expect(await changesOf(CHANGES, 1)).toEqual(["a A ..\n"]);
  });
});

import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { bytesOnDisk, cachedRecord, namesIn, statOf } from "../../../src/lib/on-disk.ts";

const folder = mkdtempSync(join(tmpdir(), "bbt-"));
afterAll(() => rmSync(folder, { recursive: true }));
const write = (name: string, text: string | Buffer): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

describe("what is on the disk", () => {
  it("has no names in a folder that is not there, and names in order in one that is", async () => {
    expect(await namesIn(join(folder, "none"))).toEqual([]);
    expect(await namesIn(join(write("file", ""), "below"))).toEqual([]);
    await mkdir(join(folder, "names"));
    for (const name of ["c", "a", "b"]) write(join("names", name), "");
    expect(await namesIn(join(folder, "names"))).toEqual(["a", "b", "c"]);
  });

  it("is not there behind a link that leads nowhere, nor below a file", async () => {
    symlinkSync("nowhere", join(folder, "dangling"));
    expect(await statOf(join(folder, "dangling"))).toBeUndefined();
    expect(await statOf(join(write("plain", ""), "below"))).toBeUndefined();
  });

  it("takes what its blocks take, holes not counted, folders with all that is in them", async () => {
    await mkdir(join(folder, "deep", "er"), { recursive: true });
    const written = await bytesOnDisk(write(join("deep", "er", "full"), Buffer.alloc(64 * 1024, 1)));
    expect(written).toBeGreaterThanOrEqual(64 * 1024);
    truncateSync(write(join("deep", "hole"), ""), 2 ** 30);
    expect(await bytesOnDisk(join(folder, "deep"))).toBe(written);
    expect(await bytesOnDisk(join(folder, "gone"))).toBe(0);
  });

  it("has no record where that is missing, cut or of another version", async () => {
    const schema = z.strictObject({ version: z.literal(2) });
    const read = (name: string) => cachedRecord(join(folder, name), schema);
    write("record", '{"version":2}');
    expect(await read("record")).toEqual({ version: 2 });
    write("cut", '{"versi');
    write("empty", "");
    write("old", '{"version":1}');
    for (const name of ["cut", "empty", "old", "absent"]) expect(await read(name), name).toBeUndefined();
  });
});

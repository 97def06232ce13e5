/** A `.smolmachine` file, as smolvm packs it: what it says of itself, and what it is. docs/smolmachines.md has the fields. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import * as z from "zod";
import { UserError } from "../../lib/errors.ts";

const FOOTER_BYTES = 64;
const MAGIC = "SMOLPACK";
/** A manifest is some hundred bytes. */
const MAX_MANIFEST_BYTES = 1024 * 1024;
const READ_BYTES = 1024 * 1024;

const manifestSchema = z.looseObject({ image: z.string(), digest: z.string().min(1) });

/** What the file says of itself, for its image's id. @throws UserError when it is no such file. */
export async function readManifest(path: string): Promise<z.infer<typeof manifestSchema>> {
  const file = await open(path, "r").catch((cause: unknown) => {
    throw new UserError(`smolvm left no ${path}`, { cause });
  });
  try {
    const { size } = await file.stat();
    const footer = Buffer.alloc(FOOTER_BYTES);
    await file.read(footer, 0, FOOTER_BYTES, Math.max(0, size - FOOTER_BYTES));
    // Of the five numbers from byte 12 on, the last two are where the manifest begins, and its length.
    const [at, length] = [footer.readBigUInt64LE(36), footer.readBigUInt64LE(44)].map(Number);
    const fits =
      at !== undefined && length !== undefined && at + length <= size && length <= MAX_MANIFEST_BYTES;
    if (footer.toString("latin1", 0, MAGIC.length) !== MAGIC || !fits)
      throw new UserError(`${path} is no .smolmachine file`);
    const text = Buffer.alloc(length);
    await file.read(text, 0, length, at);
    const parsed = manifestSchema.safeParse(JSON.parse(text.toString("utf8")));
    if (!parsed.success) throw new UserError(`${path} has no manifest that says what it is`);
    return parsed.data;
  } finally {
    await file.close();
  }
}

/** sha256, in hex. */
export async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES }))
    hash.update(chunk as Buffer);
  return hash.digest("hex");
}

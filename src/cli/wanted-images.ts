/** Which images somebody wants, by the words that operators have for them. */
import { bottlePaths, findRecord, listBottleIds } from "../keeper/bottle-record.ts";
import { homeOf } from "../lib/paths.ts";
import { bottleOf } from "../manifest/bottle-chain.ts";
import { loadIndex } from "../manifest/index-scan.ts";
import { imageWord } from "../plan/image-word.ts";

/**
 * Every bottle's image, and the one that bottles get which name none.
 * @throws UserError when a manifest cannot be read: what it names would go.
 */
export function wantedImages(): ReadonlySet<string> {
  const index = loadIndex({ home: homeOf(), cwd: process.cwd() });
  const named = index.bottles.flatMap((entry) => bottleOf(index, entry).image ?? []);
  return new Set(["built-in", ...named.map(imageWord)]);
}

/** And those of kept bottles: what such a one was made of, it is made of again when it is resumed. */
export async function neededImages(named: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const records = await Promise.all(
    (await listBottleIds()).map((id) => findRecord(bottlePaths(id)).catch(() => undefined)),
  );
  return new Set([
    ...named,
    ...records.flatMap((record) => (record?.plan.image ? [imageWord(record.plan.image)] : [])),
  ]);
}

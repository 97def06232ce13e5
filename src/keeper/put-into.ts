/**
 * What a bottle's launches have put into its guest, or may have: a launch that dies half-way has put in what no record
 * of its own names. So it is named before, and taken out again by the next launch, and by a commit.
 */
import type { BottlePlan } from "../contract/plan.ts";
import { provisionedPaths } from "../provision/forget.ts";
import type { BottleRecord } from "./bottle-record.ts";

/** Paths in the guest. */
export function putInto({ plan, attempted = [] }: BottleRecord): readonly string[] {
  return [...provisionedPaths(plan), ...attempted];
}

/** The record from the moment on in which a launch by `plan` may put something in; the same one where it names all. */
export function withAttempt(record: BottleRecord, plan: BottlePlan): BottleRecord {
  const known = putInto(record);
  const more = provisionedPaths(plan).filter((path) => !known.includes(path));
  return more.length === 0 ? record : { ...record, attempted: [...(record.attempted ?? []), ...more] };
}

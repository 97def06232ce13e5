/** What a log's verdict means, for people. */
import type { VerifyReport } from "../audit/verify.ts";

export const VERDICT_WORDS: Readonly<Record<VerifyReport["verdict"], string>> = {
  intact: "intact",
  open: "intact so far; its bottle is running",
  broken: "BROKEN",
  "open-or-cut": "no closing head: its keeper was killed, or lines were cut off",
  torn: "its last line is torn, by a crash while it was written or by a cut; all before it is in its place",
};

/** Hostile bytes made fit to be told to the agent and kept in the log: masked, printable, bounded. */
import type { Inspector } from "../../../inspect/inspector.ts";
import { mask } from "../../../inspect/mask.ts";
import { printable } from "../../../lib/printable.ts";

const SHOWN_LENGTH = 300;
/** Longer texts are cut before they are looked at; what is cut is not shown. */
const SHOWN_BYTES = 4096;

export function shownBytes(inspector: Inspector, bytes: Buffer): string {
  const head = bytes.subarray(0, SHOWN_BYTES);
  return printable(mask(head, inspector.scan(head)).toString("utf8"), SHOWN_LENGTH);
}

/** Files as a repository has them: pieces of real source code, none of which anybody takes for a secret. */
import { DETECTORS } from "../src/inspect/detectors/index.ts";
import { compileInspector } from "../src/inspect/inspector.ts";
import { sourceCode } from "./inspect-texts.ts";

const SOURCE_BYTES = 24 * 1024 * 1024;
/** About what half of the files of a repository have at most. */
const FILE_BYTES = 2_500;

/** The n-th file; the same for the same n. */
export function codeFiles(): (n: number) => Buffer {
  const inspector = compileInspector({ detectors: DETECTORS, fingerprintKey: Buffer.alloc(32) });
  const source = sourceCode(SOURCE_BYTES);
  const pieces: Buffer[] = [];
  for (let at = 0; at + 2 * FILE_BYTES < source.length; at += FILE_BYTES) {
    // From one line's beginning to another's: sizes differ as lines do.
    const begin = source.indexOf(10, at) + 1;
    const end = source.indexOf(10, begin + FILE_BYTES / 2 + ((at * 7919) % FILE_BYTES)) + 1;
    const piece = source.subarray(begin, end);
    if (end > begin && piece.length < 4 * FILE_BYTES && inspector.scan(piece).length === 0)
      pieces.push(piece);
  }
  return (n) => pieces[n % pieces.length] ?? Buffer.alloc(0);
}

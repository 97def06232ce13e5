/** What git-gate finds in a file, fed in the pieces in which git's pipe gives it. */
import { DETECTORS } from "../../src/inspect/detectors/index.ts";
import { compileInspector } from "../../src/inspect/inspector.ts";
import { type Budget, inspectContent } from "../../src/sidecars/git-gate/scan/content.ts";

export const inspector = compileInspector({ detectors: DETECTORS, fingerprintKey: Buffer.alloc(32, 3) });

/** What git's pipe gives at a time. */
const PIPE_BYTES = 64 * 1024;

/** @param first bytes of the first piece. */
export async function look(
  file: Buffer,
  first = PIPE_BYTES,
): Promise<{ found: string[]; refusal: string | undefined }> {
  const budget: Budget = { unpacked: 0, refusal: undefined };
  const found: string[] = [];
  const content = inspectContent(
    {
      ...{ inspector, budget, unopened: () => {}, path: () => "file" },
      found: (finding) => void found.push(finding.detector),
    },
    file.length,
  );
  await content.push(file.subarray(0, first));
  for (let at = first; at < file.length; at += PIPE_BYTES)
    await content.push(file.subarray(at, at + PIPE_BYTES));
  await content.end();
  return { found, refusal: budget.refusal?.code };
}

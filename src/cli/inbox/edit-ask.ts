/** The operator's editor on what is asked for: in a private folder, gone afterwards. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Ask } from "../../contract/approvals.ts";
import { UserError } from "../../lib/errors.ts";
import { makeTemporaryDir } from "../../lib/paths.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import { openEditor } from "../editor.ts";
import { askFromText, textOfAsk } from "./ask-text.ts";

/**
 * @param again after a text that cannot be read: its fault; true opens it once more, as it was left.
 * @returns undefined when the text was left as it was, or emptied.
 * @throws UserError with the fault.
 */
export async function editAsk(
  { ask, described }: { readonly ask: Ask; readonly described: readonly string[] },
  again: (fault: string) => Promise<boolean>,
): Promise<Ask | undefined> {
  const folder = makeTemporaryDir("bottle-ask-");
  const file = join(folder, "request.yaml");
  try {
    const before = textOfAsk(ask, described);
    await writeFile(file, before, { mode: 0o600, flag: "wx" });
    for (;;) {
      await openEditor(file);
      const text = await readFile(file, "utf8");
      if (text === before || text.replace(/^#.*$/gm, "").trim() === "") return undefined;
      const parsed = askFromText(text);
      if (parsed.ok) return parsed.value;
      if (!(await again(parsed.reason))) throw new UserError(parsed.reason);
    }
  } finally {
    await removeTree(folder);
  }
}

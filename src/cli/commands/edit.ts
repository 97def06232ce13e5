/** `bottle edit`: the operator's editor on an agent's file, and a check when it returns. */
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UserError } from "../../lib/errors.ts";
import { homeOf, makePrivateDir } from "../../lib/paths.ts";
import { loadIndex } from "../../manifest/index-scan.ts";
import { validateFile } from "../../manifest/load.ts";
import { confirm, hasTerminal } from "../ask.ts";
import { openEditor } from "../editor.ts";
import { report, tell } from "../output.ts";

const NEW_AGENT = "---\nbottle: claude\ndescription: what this agent is for\n---\nYou are …\n";
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

export async function edit(agent: string): Promise<number> {
  const home = homeOf();
  const known = loadIndex({ home, cwd: process.cwd() }).agents.find(({ name }) => name === agent);
  const path = known?.file ?? join(home.agents, `${agent}.md`);
  const isNew = !existsSync(path);
  if (isNew) {
    if (!NAME.test(agent)) throw new UserError(`${agent} cannot be the name of an agent's file`);
    await makePrivateDir(dirname(path));
    await writeFile(path, NEW_AGENT, { mode: 0o600, flag: "wx" });
    tell(`new: ${path}`);
  }
  for (;;) {
    await openEditor(path).catch(async (error: unknown) => {
      // There is no such editor, or it was left without a word: then nobody has made an agent.
      if (isNew && (await readFile(path, "utf8").catch(() => undefined)) === NEW_AGENT) await rm(path);
      throw error;
    });
    try {
      for (const note of validateFile("agent", path)) tell(`not supported yet: ${note}`);
      return 0;
    } catch (error) {
      const code = report(error);
      if (!hasTerminal() || !(await confirm("edit again?", ""))) return code;
    }
  }
}

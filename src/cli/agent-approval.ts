/**
 * I5: an agent that a repository brings runs only after the operator approved exactly these bytes of it. The
 * approval is for the content's hash, asked on the terminal, and `--yes` does not give it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../lib/errors.ts";
import { homeOf, makePrivateDir, writeFileAtomic } from "../lib/paths.ts";
import { printable } from "../lib/printable.ts";
import type { LoadedAgent } from "../manifest/load.ts";
import { askLine } from "./ask.ts";
import { showPassages } from "./inbox/show.ts";
import { style, tell } from "./output.ts";

/** Characters of the hash that are typed: enough not to be typed out of habit. */
const TYPED = 6;

function approvalsFile(): string {
  return join(homeOf().root, "approved-agents.json");
}

function approvedHashes(): ReadonlySet<string> {
  try {
    const list: unknown = JSON.parse(readFileSync(approvalsFile(), "utf8"));
    return new Set(Array.isArray(list) ? list.filter((entry) => typeof entry === "string") : []);
  } catch {
    // None yet, or a damaged list: then nothing is approved.
    return new Set();
  }
}

/** @throws UserError when the operator does not approve, or there is no terminal to ask on. */
export async function approveRepositoryAgent(agent: LoadedAgent): Promise<void> {
  const { contentHash, file } = agent;
  if (agent.source !== "repository" || contentHash === undefined || file === undefined) return;
  const hashes = approvedHashes();
  if (hashes.has(contentHash)) return;

  tell(style("yellow", `the agent ${agent.name} comes from the repository you are in, not from you:`));
  // All of it: what is approved is what was shown. Behind a bar, however long a line is: none of it passes for ours.
  const lines = agent.prompt.split("\n").map((line) => printable(line, line.length));
  showPassages([{ heading: printable(file, 500), lines, kind: "agent" }], tell);
  const typed = contentHash.slice(0, TYPED);
  const answer = await askLine(
    `type ${typed} to approve this text (sha256 ${contentHash.slice(0, 16)}…): `,
    "read the agent's file, then run this on a terminal once; --yes does not approve it",
  );
  if (answer.trim() !== typed) throw new UserError(`the agent ${agent.name} was not approved`);
  await makePrivateDir(homeOf().root);
  await writeFileAtomic(approvalsFile(), `${JSON.stringify([...hashes, contentHash], null, 2)}\n`);
}

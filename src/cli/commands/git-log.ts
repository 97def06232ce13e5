/** `bottle git log`: what a bottle's agent pushed, what was refused, and why. Of running bottles and of ended ones. */
import type { Entry } from "../../audit/entry.ts";
import { logPath } from "../../audit/log.ts";
import { readEvents } from "../../audit/read-events.ts";
import { gitEventSchemas } from "../../contract/git-gate.ts";
import { bottlePaths, listBottleIds, noSuchBottle } from "../../keeper/bottle-record.ts";
import { codeOf } from "../../lib/errors.ts";
import { homeOf } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { print, printJson, rowsBehind, tell } from "../output.ts";

/** `git-gate.` are the keeper's words about the gate itself. */
const PREFIXES = ["git.", "git-gate.", "deploy-key.", "review."];
const ID_LENGTH = 10;
const INDENT = 23;

export async function gitLog(id: string, flags: { readonly json?: true }): Promise<number> {
  bottlePaths(id);
  const { entries, damaged } = await eventsOf(id);
  if (flags.json) {
    printJson(entries.map(({ seq, time, event, data }) => ({ seq, time, event, data })));
  } else {
    for (const entry of entries) {
      const [first = "", ...more] = linesOf(entry);
      printBehind(`${entry.time.replace("T", " ").slice(0, 19)}  `, first);
      for (const line of more) printBehind(" ".repeat(INDENT), line);
    }
    if (entries.length === 0) tell(`nothing was fetched from or pushed to a repository by ${id}`);
  }
  if (damaged > 0) {
    tell(`${count(damaged, "line")} of the log not as written, and left out: bottle audit verify ${id}`);
  }
  return damaged > 0 ? 1 : 0;
}

function printBehind(head: string, text: string): void {
  for (const row of rowsBehind(head, text, process.stdout)) print(row);
}

async function eventsOf(id: string): ReturnType<typeof readEvents> {
  const wanted = (event: string): boolean => PREFIXES.some((prefix) => event.startsWith(prefix));
  try {
    return await readEvents(logPath(homeOf(), id), wanted);
  } catch (error) {
    if (codeOf(error) === "ENOENT") throw noSuchBottle(id, await listBottleIds());
    throw error;
  }
}

/** What the guest or an upstream wrote is in the data: shown without what a terminal obeys. */
function linesOf({ event, data }: Entry): readonly string[] {
  switch (event) {
    case "git.fetched": {
      const parsed = gitEventSchemas[event].safeParse(data);
      if (!parsed.success) break;
      return [`fetched   ${show(parsed.data.repo)}  ${count(parsed.data.changed, "ref")} changed`];
    }
    case "git.forwarding": {
      const parsed = gitEventSchemas[event].safeParse(data);
      if (!parsed.success) break;
      // What became of it follows, and says more.
      const { repo, updates } = parsed.data;
      return [`sent on   ${show(repo)}  ${updates.map(({ ref }) => show(ref)).join(" ")}`];
    }
    case "git.pushed": {
      const parsed = gitEventSchemas[event].safeParse(data);
      if (!parsed.success) break;
      const { repo, updates, commits, objects, reviewed } = parsed.data;
      const what = `${count(commits, "commit")}, ${count(objects, "object")}${reviewed ? ", reviewed" : ""}`;
      return [`pushed    ${show(repo)}  ${what}`, ...updates.map(updateText)];
    }
    case "git.refused": {
      const parsed = gitEventSchemas[event].safeParse(data);
      if (!parsed.success) break;
      const { repo, code, reason, target, updates, findings, count: times } = parsed.data;
      return [
        `refused   ${repo === undefined ? show(target) : show(repo)}  ${show(code)}: ${show(reason)}${times > 1 ? ` (${times} times)` : ""}`,
        ...updates.map(updateText),
        ...findings.map(
          ({ rule, path, line, commit }) =>
            `  ${show(rule)}${path === undefined ? "" : ` in ${show(path)}`}${line === undefined ? "" : ` line ${line}`}` +
            (commit === undefined ? "" : `, commit ${show(commit).slice(0, ID_LENGTH)}`),
        ),
      ];
    }
    case "git.unresolved": {
      const parsed = gitEventSchemas[event].safeParse(data);
      if (!parsed.success) break;
      const { repo, updates, reason } = parsed.data;
      return [`UNKNOWN   ${show(repo)}  ${show(reason)}`, ...updates.map(updateText)];
    }
  }
  return [`${event}  ${show(JSON.stringify(data))}`];
}

function updateText(update: { readonly ref: string; readonly old: string; readonly new: string }): string {
  return `  ${show(update.ref)}  ${shortId(update.old)} -> ${shortId(update.new)}`;
}

function shortId(id: string): string {
  return /^0+$/.test(id) ? "nothing" : show(id).slice(0, ID_LENGTH);
}

function show(text: string): string {
  return printable(text, 500);
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

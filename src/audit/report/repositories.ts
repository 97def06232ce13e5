/** What the agent fetched from and pushed to repositories, and what was refused there. */
import { type GitUpdate, gitEventSchemas } from "../../contract/git-gate.ts";
import {
  type Cell,
  type Collector,
  counted,
  createRows,
  own,
  shown,
  sizeText,
  textOf,
  timesOf,
  timeText,
} from "./page.ts";

export interface Repositories extends Collector {
  readonly totals: { readonly pushes: number; readonly refused: number; readonly fetches: number };
}

const ID_LENGTH = 10;

export function createRepositories(): Repositories {
  // Each with rows of its own: an agent that is refused a thousand times must not push off the page what it pushed.
  const pushes = createRows();
  const refusals = createRows();
  const fetched = new Map<string, number>();
  let [pushed, refused, fetches] = [0, 0, 0];

  return {
    get totals() {
      return { pushes: pushed, refused, fetches };
    },
    take({ event, data, time }) {
      const add = (result: string, repo: string, refs: Cell, details: Cell): void =>
        pushes.add([timeText(time), own(result), shown(repo), refs, details]);
      const addRefused = (repo: string, refs: Cell, details: Cell): void =>
        refusals.add([timeText(time), shown(repo), refs, details]);
      switch (event) {
        case "git.fetched": {
          fetches += 1;
          const repo = textOf(data, "repo");
          if (fetched.has(repo) || fetched.size < MAX_REPOSITORIES)
            fetched.set(repo, (fetched.get(repo) ?? 0) + 1);
          return;
        }
        case "git.pushed": {
          pushed += 1;
          const parsed = gitEventSchemas[event].safeParse(data);
          if (!parsed.success) return add("pushed", textOf(data, "repo"), "", shown(data));
          const { repo, updates, commits, objects, bytes, reviewed } = parsed.data;
          const what = `${counted(commits, "commit")}, ${counted(objects, "object")}, ${sizeText(bytes)}`;
          return add("pushed", repo, refsText(updates), own(`${what}${reviewed ? ", reviewed" : ""}`));
        }
        case "git.refused": {
          refused += timesOf(data);
          const parsed = gitEventSchemas[event].safeParse(data);
          if (!parsed.success) return addRefused(textOf(data, "repo"), "", shown(data));
          const { repo, code, reason, target, updates, findings, count } = parsed.data;
          const places = findings.map(
            ({ rule, path = "", line }) => `${rule} ${path}${line === undefined ? "" : `:${line}`}`,
          );
          const details = [`${code}: ${reason}`, ...places, ...(count > 1 ? [`${count} times`] : [])];
          return addRefused(repo ?? target, refsText(updates), shown(details.join("; ")));
        }
        case "git.unresolved": {
          const parsed = gitEventSchemas[event].safeParse(data);
          if (!parsed.success) return add("UNKNOWN", textOf(data, "repo"), "", shown(data));
          return add("UNKNOWN", parsed.data.repo, refsText(parsed.data.updates), shown(parsed.data.reason));
        }
        case "deploy-key.added":
        case "deploy-key.removed":
        case "deploy-key.left":
          add(event, textOf(data, "repo"), "", shown(data["title"] ?? data["reason"]));
      }
    },
    sections() {
      const counts = createRows();
      for (const [repo, times] of fetched) counts.add([shown(repo), own(String(times))]);
      return [
        pushes.section("Pushed", ["Time", "Result", "Repository", "Refs", "Details"], "Nothing was pushed."),
        refusals.section(
          "Refused at repositories",
          ["Time", "Repository", "Refs", "Details"],
          "Nothing was refused there.",
        ),
        counts.section("Fetched", ["Repository", "Times"], "No repository was fetched from."),
      ];
    },
  };
}

/** Behind a gate are those that the manifest names; a taken-over gate could name any. */
const MAX_REPOSITORIES = 1_000;

function refsText(updates: readonly GitUpdate[]): string {
  return shown(
    updates.map(({ ref, old, new: now }) => `${ref} ${shortId(old)} -> ${shortId(now)}`).join(", "),
  );
}

function shortId(id: string): string {
  return /^0+$/.test(id) ? "nothing" : id.slice(0, ID_LENGTH);
}

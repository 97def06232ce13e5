/**
 * A bottle's log as one page: what the agent did, reached, was refused, asked for, was given and pushed. Made from the
 * events alone, one at a time. It says what the log says; whether the log is as it was written is `verify`'s to say, and
 * stands at the top.
 */
import type { Ask } from "../../contract/approvals.ts";
import type { Entry } from "../entry.ts";
import { createLife } from "./life.ts";
import { type Cell, counted, own, type Page, shown, sizeText, timeText } from "./page.ts";
import { createRepositories } from "./repositories.ts";
import { createRequests } from "./requests.ts";
import { createTraffic } from "./traffic.ts";

export interface Report {
  take(entry: Entry): void;
  /** @param damaged lines that are none of the log's, and were left out. */
  page(verdict: Page["verdict"], damaged: number): Page;
}

export interface ReportOptions {
  readonly bottle: string;
  /** An ask in one line of words. */
  readonly describeAsk: (ask: Ask) => string;
}

export function createReport({ bottle, describeAsk }: ReportOptions): Report {
  const life = createLife();
  const traffic = createTraffic();
  const requests = createRequests(describeAsk);
  const repositories = createRepositories();
  let entries = 0;

  return {
    take(entry) {
      entries += 1;
      for (const part of [life, traffic, requests, repositories]) part.take(entry);
    },
    page(verdict, damaged) {
      const { first, last, exit } = life;
      const http = traffic.totals;
      const asked = requests.totals;
      const git = repositories.totals;
      const facts: (readonly [string, Cell])[] = [
        ["Agent", shown(life.agent)],
        ["Manifest's bottle", shown(life.manifest)],
        ["Isolated by", shown(life.backend)],
        ["Might reach at launch", shown(life.hosts.join(", ") || "nothing")],
        ["First line", first === undefined ? "" : timeText(first)],
        ["Last line", last === undefined ? "" : timeText(last)],
        ["Took", own(first === undefined || last === undefined ? "" : spanText(first, last))],
        ["Launched", own(counted(life.launches, "time"))],
        ["Ended", exit === undefined ? own("not, as far as the log goes") : shown(exit)],
        [
          "Reached",
          own(
            `${http.hasMoreHosts ? "over " : ""}${counted(http.hosts, "host")}, ${counted(http.requests, "request")}, ${sizeText(http.up)} sent, ${sizeText(http.down)} received`,
          ),
        ],
        ["Refused", own(`${counted(http.refused, "request")}, ${git.refused} at repositories`)],
        ["Found in traffic", own(counted(http.found, "finding"))],
        ["Asked for", own(`${asked.asked}; ${asked.given} given, ${asked.denied} denied or not answered`)],
        ["Pushed", own(`${git.pushes} ${git.pushes === 1 ? "push" : "pushes"}`)],
        ["Run by the operator", own(counted(life.commands, "command"))],
        ["Frozen", own(counted(life.frozen, "time"))],
        ["Lines", own(`${entries}${damaged > 0 ? `, and ${damaged} not as written, left out here` : ""}`)],
      ];
      const [story = [], ...others] = [life, traffic, requests, repositories].map((part) => part.sections());
      return { bottle, verdict, facts, sections: [...others.flat(), ...story] };
    },
  };
}

function spanText(first: string, last: string): string {
  const seconds = Math.max(0, Math.round((Date.parse(last) - Date.parse(first)) / 1_000));
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)];
  return `${hours > 0 ? `${hours} h ` : ""}${hours > 0 || minutes > 0 ? `${minutes} min ` : ""}${seconds % 60} s`;
}

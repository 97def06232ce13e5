/** The bottle's own life: launches, what was run in it, files, work, freezes, and what went wrong with its sidecars. */
import { printable } from "../../lib/printable.ts";
import { type Entry, OWN_EVENTS } from "../entry.ts";
import {
  type Cell,
  type Collector,
  createRows,
  numberOf,
  own,
  shown,
  textOf,
  textsOf,
  timeText,
} from "./page.ts";

export interface Life extends Collector {
  /** Of the last launch. */
  readonly agent: string;
  readonly manifest: string;
  readonly backend: string;
  readonly hosts: readonly string[];
  readonly launches: number;
  readonly commands: number;
  readonly first: string | undefined;
  readonly last: string | undefined;
  /** How it ended, if it did. */
  readonly exit: string | undefined;
  readonly frozen: number;
}

export function createLife(): Life {
  const rows = createRows();
  // A guest can have sidecars say things all day: that must not push off the page what happened.
  const said = createRows();
  let [agent, manifest, backend] = ["", "", ""];
  let hosts: readonly string[] = [];
  let [launches, commands, frozen] = [0, 0, 0];
  let first: string | undefined;
  let last: string | undefined;
  let exit: string | undefined;

  return {
    get agent() {
      return agent;
    },
    get manifest() {
      return manifest;
    },
    get backend() {
      return backend;
    },
    get hosts() {
      return hosts;
    },
    get launches() {
      return launches;
    },
    get commands() {
      return commands;
    },
    get first() {
      return first;
    },
    get last() {
      return last;
    },
    get exit() {
      return exit;
    },
    get frozen() {
      return frozen;
    },
    take(entry) {
      const { event, data, time } = entry;
      first ??= time;
      last = time;
      if (event === "bottle.launching") {
        launches += 1;
        exit = undefined;
        agent = textOf(data, "agent");
        manifest = textOf(data, "bottle");
        backend = textOf(data, "backend");
        hosts = textsOf(data, "hosts");
      }
      if (event === "bottle.ended") exit = textOf(data, "exit");
      if (event === "exec.started") commands += 1;
      if (event === "bottle.frozen" || event === "bottle.out-of-room") frozen += 1;
      const words = wordsOf(entry);
      if (words === undefined) return;
      const into = SIDECARS.some((prefix) => event.startsWith(prefix)) ? said : rows;
      into.add([timeText(time), own(words.what), words.details]);
    },
    sections: () => [
      rows.section("What happened", ["Time", "What", "Details"], "Nothing happened."),
      said.section("Of its sidecars", ["Time", "What", "Details"], "Nothing else is on the log of them."),
    ],
  };
}

interface Words {
  readonly what: string;
  readonly details: Cell;
}

/** Events that other sections tell. */
const ELSEWHERE = [
  "egress.admitted",
  "egress.allowed",
  "egress.denied",
  "egress.masked",
  "egress.flagged",
  "egress.pieced",
  "egress.budget",
];
const ELSEWHERE_WHOLLY = ["git.", "request.", "grant.", "review.", "deploy-key."];
/** What sidecars say, and the keeper of them. */
const SIDECARS = ["egress.", "git-gate.", "supervise.", "pipelock."];

/** What the operator gave a resumed bottle besides what it had. */
function given(data: Entry["data"]): string {
  const names = textsOf(data, "with");
  return names.length === 0 ? "" : `; given besides: ${names.join(", ")}`;
}

/** Undefined for what stands in another section. Whatever is not known by name is shown as it is. */
function wordsOf({ event, data }: Entry): Words | undefined {
  switch (event) {
    case "log.opened":
    case "log.head":
      return undefined;
    case "log.resumed":
      return {
        what: "log continued",
        details: own(
          data["closed"] === true ? "" : "without an orderly end before it: after a crash, or a cut",
        ),
      };
    case "log.recovered":
      return { what: "log recovered after a crash", details: shown(data) };
    case "bottle.launching":
      return {
        what: "launch",
        details: shown(
          `agent ${textOf(data, "agent")}, bottle ${textOf(data, "bottle")}, ${textOf(data, "backend")}; may reach ${textsOf(data, "hosts").join(", ") || "nothing"}${given(data)}`,
        ),
      };
    case "bottle.verified":
      return {
        what:
          data["isolated"] === true ? "isolation verified from inside" : "NOT ISOLATED: no agent was started",
        details: data["isolated"] === true ? "" : shown(textsOf(data, "results").join("; ")),
      };
    case "bottle.ready":
      return { what: "ready", details: "" };
    case "bottle.ended":
      return {
        what: "ended",
        details: shown(`${textOf(data, "exit")}${data["kept"] === true ? "; kept" : ""}`),
      };
    case "bottle.frozen":
      return { what: "FROZEN", details: shown(`by ${textOf(data, "by")}${because(data)}`) };
    case "bottle.out-of-room":
      return { what: "FROZEN: no room to record", details: shown(data["reason"]) };
    case "bottle.has-room":
      return { what: "room again", details: shown(`says ${textOf(data, "by")}`) };
    case "bottle.thawed":
      return { what: "thawed", details: shown(`by ${textOf(data, "by")}`) };
    case "agent.started":
      return {
        what: "agent started",
        details: shown(`${textOf(data, "provider")}${data["headless"] === true ? ", headless" : ""}`),
      };
    case "exec.started":
      return { what: "the operator ran", details: shown(textsOf(data, "argv").join(" ")) };
    case "exec.ended": {
      const code = data["code"] === undefined ? shown(data["signal"]) : numberOf(data, "code");
      const command = textsOf(data, "argv").join(" ");
      // Whole where it began; here as much as tells it from others.
      return {
        what: "that ended",
        details: shown(`${textOf(data, "kind")} ${code}: ${printable(command, 60)}`),
      };
    }
    case "port.opened":
      return { what: "a port was opened to the operator's host", details: shown(data["port"]) };
    case "files.copying-in":
      return { what: "the operator copies files in", details: shown(data["to"]) };
    case "files.copying-out":
      return { what: "the operator copies files out", details: shown(data["from"]) };
    case "files.copied-in":
      return { what: "files copied in", details: shown(data["to"]) };
    case "files.copied-out":
      return { what: "files copied out", details: shown(data["from"]) };
    case "work.exported":
      return {
        what: "work taken out",
        details: own(
          data["empty"] === true ? "nothing was changed" : `commits: ${numberOf(data, "commits")}`,
        ),
      };
    default: {
      if (ELSEWHERE.includes(event) || ELSEWHERE_WHOLLY.some((prefix) => event.startsWith(prefix)))
        return undefined;
      // Of the log's own every one is known above; a sidecar's words and failures are shown as they came.
      return { what: event.startsWith(OWN_EVENTS) ? `log: ${event}` : event, details: shown(data) };
    }
  }
}

function because(data: Entry["data"]): string {
  const reason = textOf(data, "reason");
  return reason === "" ? "" : `: ${reason}`;
}

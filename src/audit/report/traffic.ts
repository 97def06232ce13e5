/** What the agent reached over HTTP, what it was refused, and what was found in what it sent or got. */
import type { Entry } from "../entry.ts";
import {
  type Cell,
  type Collector,
  createRows,
  MAX_ROWS,
  numberOf,
  own,
  type Section,
  shown,
  sizeText,
  textOf,
  textsOf,
  timesOf,
  timeText,
} from "./page.ts";

/** Different hosts, refusals or findings that are told apart. More than are shown: the busiest come first. */
const MAX_KEYS = 8 * MAX_ROWS;
/** Different methods, statuses or credentials of one host. */
const MAX_KINDS = 16;
/** What is beyond {@link MAX_KEYS} is counted under no name. */
const OTHERS = "(others)";

interface Reached {
  requests: number;
  admitted: number;
  up: number;
  down: number;
  first: string;
  last: string;
  readonly methods: Set<string>;
  readonly statuses: Set<string>;
  readonly credentials: Set<string>;
  readonly grants: Set<string>;
}

interface Counted {
  readonly cells: readonly Cell[];
  count: number;
  first: string;
  last: string;
}

export interface Traffic extends Collector {
  readonly totals: {
    readonly requests: number;
    readonly hosts: number;
    /** There were more, which were not told apart. */
    readonly hasMoreHosts: boolean;
    readonly up: number;
    readonly down: number;
    readonly refused: number;
    readonly found: number;
  };
}

const FOUND: Readonly<Record<string, string>> = {
  "egress.masked": "masked",
  "egress.flagged": "orders to the agent, in an answer",
  "egress.pieced": "put together from several requests",
  "egress.budget": "more than is usual",
};

export function createTraffic(): Traffic {
  const hosts = new Map<string, Reached>();
  const refused = new Map<string, Counted>();
  const found = new Map<string, Counted>();
  let [requests, up, down, refusals, findings] = [0, 0, 0, 0, 0];

  function hostOf({ data, time }: Entry): Reached {
    const name = textOf(data, "host") || OTHERS;
    const key = hosts.has(name) || hosts.size < MAX_KEYS ? name : OTHERS;
    const host = hosts.get(key) ?? {
      ...{ requests: 0, admitted: 0, up: 0, down: 0, first: time, last: time },
      ...{ methods: new Set(), statuses: new Set(), credentials: new Set(), grants: new Set() },
    };
    hosts.set(key, host);
    host.last = time;
    put(host.methods, [textOf(data, "method")]);
    put(host.credentials, textsOf(data, "credential"));
    put(host.grants, [textOf(data, "grant").slice(0, 8)]);
    return host;
  }

  function count(into: Map<string, Counted>, cells: readonly Cell[], entry: Entry): void {
    const id = JSON.stringify(cells);
    const isKnown = into.has(id) || into.size < MAX_KEYS;
    const key = isKnown ? id : OTHERS;
    const others = cells.map((_, i): Cell => (i === 0 ? OTHERS : ""));
    const known = into.get(key) ?? {
      ...{ cells: isKnown ? cells : others, count: 0, first: entry.time, last: entry.time },
    };
    into.set(key, known);
    known.count += timesOf(entry.data);
    known.last = entry.time;
  }

  return {
    get totals() {
      const hasMoreHosts = hosts.has(OTHERS);
      const named = hosts.size - (hasMoreHosts ? 1 : 0);
      return { requests, hosts: named, hasMoreHosts, up, down, refused: refusals, found: findings };
    },
    take(entry) {
      const { event, data } = entry;
      switch (event) {
        case "egress.admitted":
          hostOf(entry).admitted += 1;
          return;
        case "egress.allowed": {
          const host = hostOf(entry);
          const times = timesOf(data);
          const [sent, received] = [numberOf(data, "up"), numberOf(data, "down")];
          host.requests += times;
          host.up += sent;
          host.down += received;
          put(host.statuses, [String(numberOf(data, "status"))]);
          requests += times;
          up += sent;
          down += received;
          return;
        }
        case "egress.denied":
          refusals += timesOf(data);
          count(refused, [shown(data["code"]), shown(data["target"]), shown(data["rule"])], entry);
          return;
        default: {
          const what = FOUND[event];
          if (what === undefined) return;
          findings += timesOf(data);
          const detector = shown(data["detector"] ?? data["kind"]);
          count(found, [own(what), detector, shown(data["target"]), shown(data["finding"])], entry);
        }
      }
    },
    sections: () => [
      reachedSection(hosts),
      countedSection(refused, {
        title: "Refused over HTTP",
        columns: ["Code", "Target", "Rule"],
        empty: "Nothing was refused.",
      }),
      countedSection(found, {
        title: "Found in what was sent or received",
        columns: ["What", "Detector", "Target", "Finding"],
        empty: "Nothing was found.",
      }),
    ],
  };
}

function reachedSection(hosts: ReadonlyMap<string, Reached>): Section {
  const rows = createRows();
  const busiest = [...hosts].sort(([, a], [, b]) => b.requests - a.requests || b.admitted - a.admitted);
  for (const [host, each] of busiest) {
    rows.add([
      shown(host),
      list(each.methods),
      // With `egress.log: 0` single requests are not on the log.
      own(each.requests === 0 ? "not counted" : String(each.requests)),
      list(each.statuses),
      own(sizeText(each.up)),
      own(sizeText(each.down)),
      list(each.credentials),
      list(each.grants),
      timeText(each.first),
      timeText(each.last),
    ]);
  }
  return rows.section(
    "Reached over HTTP",
    ["Host", "Methods", "Requests", "Status", "Sent", "Received", "Credential", "Grant", "First", "Last"],
    "Nothing was reached.",
  );
}

function countedSection(
  counts: ReadonlyMap<string, Counted>,
  { title, columns, empty }: Pick<Section, "title" | "columns" | "empty">,
): Section {
  const rows = createRows();
  for (const { cells, count, first, last } of [...counts.values()].sort((a, b) => b.count - a.count))
    rows.add([...cells, own(String(count)), timeText(first), timeText(last)]);
  return rows.section(title, [...columns, "Times", "First", "Last"], empty);
}

function put(into: Set<string>, values: readonly string[]): void {
  for (const value of values) if (value !== "" && into.size < MAX_KINDS) into.add(value);
}

function list(values: ReadonlySet<string>): string {
  return shown([...values].join(", "));
}

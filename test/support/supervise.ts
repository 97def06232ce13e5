/**
 * Supervise as the process it is in a bundle, and the keeper's part of the talk with it: requests and grants by the
 * real state machine, told to the sidecar as a keeper tells them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { Server, Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { Allowed } from "../../src/approvals/allowed.ts";
import {
  approve,
  ask,
  deny,
  due,
  type Lifetime,
  revoke,
  shown,
  withdraw,
} from "../../src/approvals/decide.ts";
import {
  type ApprovalEvent,
  allowedNow,
  capabilitiesOf,
  EMPTY_LEDGER,
  type Ledger,
  record,
  viewOf,
} from "../../src/approvals/ledger.ts";
import {
  type SuperviseAnswer,
  type SuperviseConfig,
  type SupervisePolicy,
  superviseAskSchema,
} from "../../src/contract/approvals.ts";
import { type FromSidecar, fromSidecarSchema } from "../../src/contract/sidecar.ts";
import { readLines } from "../../src/lib/json-lines.ts";
import { type Supervise, startSupervise } from "../../src/sidecars/supervise/supervise.ts";

const ENTRY = fileURLToPath(new URL("./supervise-entry.ts", import.meta.url));
const DIST = fileURLToPath(new URL("../../dist/bottle.js", import.meta.url));

export interface SuperviseProcess {
  readonly child: ChildProcess;
  readonly messages: readonly FromSidecar[];
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  send(message: unknown): void;
  handOver(listener: Server): void;
  handOverConnection(socket: Socket): void;
  /** Resolves once it serves, with where. */
  ready(): Promise<string>;
  kill(): Promise<void>;
}

/** @param onAsk answers what it asks; without, nobody does. @param built the program as it is shipped. */
export function startSuperviseProcess(
  onAsk: (data: unknown) => unknown = () => undefined,
  built = false,
): SuperviseProcess {
  const program = built ? [DIST, "sidecar", "supervise"] : ["--import", "tsx", ENTRY];
  // As the bundle starts it.
  const flags = ["--max-old-space-size=256", "--disallow-code-generation-from-strings"];
  const child = spawn(process.execPath, [...(built ? flags : []), ...program], {
    stdio: ["pipe", "pipe", "inherit", "ipc"],
    env: {},
  });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("no pipes");
  stdin.on("error", () => {});
  const messages: FromSidecar[] = [];
  const send = (message: unknown): void => void stdin.write(`${JSON.stringify(message)}\n`);
  void (async () => {
    for await (const line of readLines(stdout)) {
      const message = fromSidecarSchema.parse(JSON.parse(line));
      messages.push(message);
      if (message.type !== "ask") continue;
      const answer = onAsk(message.data);
      if (answer !== undefined) send({ type: "answer", ask: message.ask, answer });
    }
  })();
  const ended = new Promise<number | string>((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "?"));
  });
  return {
    child,
    messages,
    ended,
    send,
    handOver: (listener) => void child.send({ listener: "supervise", role: "main" }, listener),
    handOverConnection: (socket) => void child.send({ connection: "supervise" }, socket),
    async ready() {
      for (let left = 400; left > 0 && child.exitCode === null; left--) {
        const found = messages.find((message) => message.type === "ready");
        if (found?.type === "ready") return found.listening[0] ?? "";
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      throw new Error(`supervise did not start: ${JSON.stringify(messages)}`);
    },
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

export const NO_POLICY: SupervisePolicy = {
  capabilities: { routes: [], repos: [] },
  secrets: [],
  now: 0,
  requests: [],
  frozen: false,
};

export function superviseConfig(more: Partial<SuperviseConfig> = {}): SuperviseConfig {
  return {
    bottle: "test-00000",
    listen: { kind: "tcp", host: "127.0.0.1", port: 0 },
    hosts: [],
    policy: NO_POLICY,
    ...more,
  };
}

export interface TestKeeper {
  readonly log: readonly ApprovalEvent[];
  ledger(): Ledger;
  /** As `bottle inbox` would. */
  approve(ticket: string, lifetime?: Lifetime): string;
  deny(ticket: string, reason: string): string;
  revoke(ticket: string): string;
  /** Moves the time on, and lets it decide what it decides. */
  pass(milliseconds: number): void;
  onAsk(data: unknown): SuperviseAnswer;
  policy(): SupervisePolicy;
}

const DEADLINE_MS = 3_600_000;

/** @param tell is called with each new policy. */
export function testKeeper(planned: Allowed, tell: (policy: SupervisePolicy) => void): TestKeeper {
  let ledger: Ledger = EMPTY_LEDGER;
  let skipped = 0;
  const log: ApprovalEvent[] = [];
  const bottle = "test-00000";
  const now = (): number => Date.now() + skipped;
  const allowed = (): Allowed => allowedNow(planned, ledger, now());
  const policy = (): SupervisePolicy => ({
    capabilities: capabilitiesOf(allowed()),
    secrets: ["NPM_TOKEN"],
    now: now(),
    requests: [...ledger.values()].map(viewOf),
    frozen: false,
  });
  const write = (...events: readonly ApprovalEvent[]): void => {
    for (const event of events) {
      log.push(event);
      ledger = record(ledger, event);
    }
    tell(policy());
  };
  const moment = () => ({ bottle, epoch: log.length, allowed: allowed(), now: now() });
  const decide = (decision: ReturnType<typeof approve>): string => {
    if (decision.kind === "refused") return decision.code;
    write(decision.event);
    return "decided";
  };
  const viewed = (ticket: string, joined: boolean): SuperviseAnswer => {
    const request = ledger.get(ticket);
    if (request === undefined) throw new Error("no such request");
    return { kind: "request", request: viewOf(request), joined };
  };
  return {
    log,
    ledger: () => ledger,
    policy,
    approve(ticket, lifetime = { kind: "for", milliseconds: DEADLINE_MS }) {
      const request = ledger.get(ticket);
      const digest = request === undefined ? "" : shown(request, request.ask, moment()).digest;
      return decide(approve(ledger, { ticket, lifetime, digest, by: "operator" }, moment()));
    },
    deny: (ticket, reason) => decide(deny(ledger, { ticket, by: "operator", reason }, now())),
    revoke: (ticket) => decide(revoke(ledger, { ticket, by: "operator" }, now())),
    pass(milliseconds) {
      skipped += milliseconds;
      write(...due(ledger, now()));
    },
    onAsk(data) {
      const asked = superviseAskSchema.parse(data);
      if (asked.kind === "withdraw") {
        const decision = withdraw(ledger, asked.ticket, now());
        if (decision.kind === "refused")
          return { kind: "refused", code: "not-pending", reason: decision.reason };
        write(decision.event);
        return viewed(asked.ticket, false);
      }
      const at = now();
      const answer = ask(
        ledger,
        { allowed: allowed(), secrets: policy().secrets },
        {
          ticket: randomBytes(16).toString("hex"),
          ask: asked.ask,
          justification: asked.justification,
          at,
          deadline: at + DEADLINE_MS,
        },
      );
      if (answer.kind === "refused") return answer;
      if (answer.kind === "joined") return viewed(answer.request.ticket, true);
      write(answer.event);
      return viewed(answer.event.data.ticket, false);
    },
  };
}

export interface RunningSupervise {
  readonly url: string;
  readonly keeper: TestKeeper;
  readonly messages: readonly FromSidecar[];
  readonly supervise: Supervise;
  /** Calls a tool as a client of the 2025 protocol does; what it was told. */
  call(tool: string, args?: unknown): Promise<Told>;
}

export interface Told {
  readonly isError: boolean;
  readonly next: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** In this process, with a keeper that has `planned` to begin with. */
export async function runSupervise(
  planned: Allowed,
  more: Partial<SuperviseConfig> = {},
): Promise<RunningSupervise> {
  const messages: FromSidecar[] = [];
  let running: Supervise | undefined;
  const keeper = testKeeper(planned, (policy) => running?.reload(policy));
  running = await startSupervise(superviseConfig({ policy: keeper.policy(), ...more }), {
    emit(message) {
      messages.push(message);
      if (message.type === "ask") running?.answer(message.ask, keeper.onAsk(message.data));
    },
  });
  const url = `http://${running.listening[0]}/mcp`;
  const headers = more.bearer === undefined ? {} : { authorization: `Bearer ${more.bearer}` };
  return {
    url,
    keeper,
    messages,
    supervise: running,
    call: (tool, args) => callTool(url, tool, args, headers),
  };
}

export function rpc(
  url: string,
  method: string,
  params: unknown,
  headers: Readonly<Record<string, string>> = {},
) {
  return fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
}

export async function callTool(
  url: string,
  tool: string,
  args: unknown = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Told> {
  const response = await rpc(url, "tools/call", { name: tool, arguments: args }, headers);
  return toldIn(await response.text());
}

/** From a JSON body, or from the one event of a stream. */
export function toldIn(body: string): Told {
  const text = /^data: (.*)$/m.exec(body)?.[1] ?? body;
  const { result, error } = JSON.parse(text) as {
    result?: { isError?: boolean; content: { text: string }[]; structuredContent?: Record<string, unknown> };
    error?: { message: string };
  };
  if (result === undefined) return { isError: true, next: error?.message ?? text, data: {} };
  const said = result.content[0]?.text ?? "";
  const data = result.structuredContent ?? {};
  return {
    isError: result.isError ?? false,
    next: typeof data["next"] === "string" ? data["next"] : said,
    data,
  };
}

/**
 * The tools: arguments in, one {@link Told} out. Nothing here decides: a request goes to the keeper, and elicitation is
 * never used, because it would be answered inside the bottle (I6).
 */
import type { McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import { parseAccess, parseException } from "../../approvals/ask.ts";
import type { Ask, SuperviseAnswer } from "../../contract/approvals.ts";
import type { Parsed } from "../../lib/parsed.ts";
import { accessShape, denialShape, exceptionShape, ticketShape } from "./arguments.ts";
import type { Board } from "./board.ts";
import { type Bucket, createBucket } from "./bucket.ts";
import { explain } from "./explain.ts";
import type { KeeperLine } from "./keeper-line.ts";
import { CALLS, LIMITS } from "./limits.ts";
import { type Told, tellCapabilities, tellRequest } from "./words.ts";

type Name = keyof typeof CALLS;

export interface ToolContext {
  readonly board: Board;
  readonly keeper: KeeperLine;
}

/** What the calls of one bottle have in common, however many servers answer them. */
export function createTools(context: ToolContext): (server: McpServer) => void {
  const { board, keeper } = context;
  const buckets = new Map<Name, Bucket>();
  const take = (name: Name): number => {
    const bucket = buckets.get(name) ?? createBucket(CALLS[name].burst, CALLS[name].perMinute / 60);
    buckets.set(name, bucket);
    return bucket.take();
  };

  /** Runs a call unless there were too many. */
  const limited = async (name: Name, run: () => Told | Promise<Told>) => {
    const seconds = take(name);
    if (seconds > 0) return failed(`Too many calls of ${name}: wait ${seconds} s before the next one.`);
    try {
      return result(await run());
    } catch (error) {
      if (error instanceof Refused) return failed(error.message);
      throw error;
    }
  };

  const propose = async (parsed: Parsed<Ask>, words: string | undefined): Promise<Told> => {
    if (!parsed.ok) throw new Refused(`Not asked: ${parsed.reason}.`);
    const answer = await keeper.ask({ kind: "request", ask: parsed.value, justification: words ?? "" });
    if (answer.kind === "refused") throw new Refused(notAsked(answer));
    board.put(answer.request);
    return { ...tellRequest(answer.request, board.now()), ...(answer.joined && { asked_before: true }) };
  };

  return (server) => {
    server.registerTool(
      "list_capabilities",
      {
        description:
          "What this bottle may reach over HTTP and push to, what was granted, and what waits for the operator.",
        inputSchema: z.strictObject({}),
        annotations: { readOnlyHint: true, openWorldHint: false },
      },
      () => limited("list_capabilities", () => tellCapabilities(board.policy(), board.now())),
    );
    server.registerTool(
      "explain_denial",
      {
        description:
          "What a denial (HTTP 403 with x-bottle-denied, or git's `denied:`) means, and what helps. Pass on what it says.",
        inputSchema: denialShape,
        annotations: { readOnlyHint: true, openWorldHint: false },
      },
      (denial) =>
        limited("explain_denial", () => {
          const told = explain(denial, board.policy().capabilities);
          if (told === undefined) throw new Refused("That is no code of a denial of this bottle's.");
          return told;
        }),
    );
    server.registerTool(
      "request_access",
      {
        description:
          "Ask the operator for a host (with methods and paths), for refs of a repository, or for variables, files or " +
          "programs that your environment lacks. Returns a ticket at once; " +
          "check_request waits for the answer. Ask for no more than the task needs.",
        inputSchema: accessShape,
      },
      ({ justification: words, ...args }) =>
        limited("request_access", () => propose(parseAccess(args), words)),
    );
    server.registerTool(
      "request_exception",
      {
        description:
          "Ask the operator to let pass one thing that was found and refused, as its denial names it. Returns a ticket " +
          "at once; check_request waits for the answer.",
        inputSchema: exceptionShape,
      },
      ({ justification: words, ...args }) =>
        limited("request_exception", () => propose(parseException(args), words)),
    );
    server.registerTool(
      "check_request",
      {
        description:
          "The operator's answer to a request. Waits for it up to 25 s; call it again while it is pending.",
        inputSchema: ticketShape,
        annotations: { readOnlyHint: true, openWorldHint: false },
      },
      (args, { mcpReq }) =>
        limited("check_request", async () => {
          const wait = board.waiting() < LIMITS.waiting ? LIMITS.waitMs : 0;
          const view = await board.settled(args.ticket, wait, mcpReq.signal);
          if (view === undefined) throw new Refused(UNKNOWN_TICKET);
          return tellRequest(view, board.now());
        }),
    );
    server.registerTool(
      "withdraw_request",
      {
        description: "Take back a request that the operator has not answered yet.",
        inputSchema: ticketShape,
      },
      (args) =>
        limited("withdraw_request", async () => {
          if (board.find(args.ticket) === undefined) throw new Refused(UNKNOWN_TICKET);
          const answer = await keeper.ask({ kind: "withdraw", ticket: args.ticket });
          if (answer.kind === "refused") throw new Refused(`Not withdrawn: ${answer.reason}.`);
          board.put(answer.request);
          return tellRequest(answer.request, board.now());
        }),
    );
  };
}

const UNKNOWN_TICKET = "There is no request with this ticket in this bottle.";

/** A call that did not do what it is for, in words for the agent. */
class Refused extends Error {}

function notAsked({ code, reason }: Extract<SuperviseAnswer, { kind: "refused" }>): string {
  switch (code) {
    case "nothing-new":
      return `Not asked: ${reason}. Retry what was refused; if it is refused again, explain_denial says why.`;
    case "too-many-pending":
      return `Not asked: ${reason}. Wait for answers with check_request, or withdraw what is not needed.`;
    case "unavailable":
      return `Not asked: ${reason}. Try again in a minute.`;
    default:
      return `Not asked: ${reason}.`;
  }
}

function result(told: Told) {
  return { content: [{ type: "text" as const, text: JSON.stringify(told) }], structuredContent: { ...told } };
}

function failed(words: string) {
  return { ...result({ next: words }), isError: true };
}

/** A denial, explained: what it means, whether asking helps, and the call that asks. */
import type * as z from "zod";
import { parseAccess, parseException } from "../../approvals/ask.ts";
import type { Capabilities } from "../../contract/approvals.ts";
import { accessShape, type denialShape, exceptionShape } from "./arguments.ts";
import { EGRESS_DENIALS, type Explanation, GIT_DENIALS } from "./denials.ts";
import { capabilitiesAt, type Told } from "./words.ts";

type Denied = z.infer<typeof denialShape>;

const HELP: Readonly<Record<Explanation["way"], string>> = {
  access:
    "Ask with request_access, for what was refused or a little more if the task needs it; then check_request.",
  exception:
    "Change it if you can. If it has to pass as it is, ask with request_exception; then check_request.",
  change: "Asking does not help: change the request.",
  wait: "Asking does not help: try again in a while.",
  report: "Asking does not help: only the operator's own setup does. Do without it, or stop and say so.",
};

/** Undefined for a code that is none of this bottle's. */
export function explain(denial: Denied, capabilities: Capabilities): Told | undefined {
  const { code, target = "", ask } = denial;
  const { host, repository, repo: excepted } = ask?.arguments ?? {};
  const [, named] = /^(?:push|fetch|request) (\S+)/.exec(target) ?? [];
  const repo = named ?? repository ?? excepted;
  const isGit = typeof repo === "string";
  const tables = isGit ? [GIT_DENIALS, EGRESS_DENIALS] : [EGRESS_DENIALS, GIT_DENIALS];
  const found = tables.find((table) => Object.hasOwn(table, code))?.[code];
  if (found === undefined) return undefined;
  const call = found.way === "access" || found.way === "exception" ? callFor(denial) : undefined;
  const there = capabilitiesAt(capabilities, {
    ...(typeof host === "string" && { host }),
    ...(isGit && { repo }),
  });
  return {
    next: HELP[found.way],
    means: found.means,
    ...(call !== undefined && { call }),
    ...(there.length > 0 && { allowed_there: there }),
  };
}

/** The denial's own call, unless it would not be taken. */
function callFor({ ask }: Denied): { tool: string; arguments: unknown } | undefined {
  if (ask === undefined) return undefined;
  if (ask.tool === "request_access") {
    const args = accessShape.safeParse(ask.arguments);
    return args.success && parseAccess(args.data).ok ? { tool: ask.tool, arguments: args.data } : undefined;
  }
  const args = exceptionShape.safeParse(ask.arguments);
  return args.success && parseException(args.data).ok
    ? { tool: "request_exception", arguments: args.data }
    : undefined;
}

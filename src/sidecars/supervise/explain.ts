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
  const { host, repo } = ask?.arguments ?? {};
  const isGit = typeof repo === "string" || /^(?:push|fetch|request) /.test(target);
  const tables = isGit ? [GIT_DENIALS, EGRESS_DENIALS] : [EGRESS_DENIALS, GIT_DENIALS];
  const found = tables.find((table) => Object.hasOwn(table, code))?.[code];
  if (found === undefined) return undefined;
  const call = found.way === "access" || found.way === "exception" ? callFor(denial) : undefined;
  const there = capabilitiesAt(capabilities, {
    ...(typeof host === "string" && { host }),
    ...(typeof repo === "string" && { repo }),
  });
  return {
    next: HELP[found.way],
    means: found.means,
    ...(call !== undefined && { call }),
    ...(there.length > 0 && { allowed_there: there }),
  };
}

/** The denial's own call, or the one that helps instead; none that would not be taken. */
function callFor({ code, target = "", ask }: Denied): { tool: string; arguments: unknown } | undefined {
  if (code === "force-not-allowed" || code === "delete-not-allowed") {
    const [, repository, ...refs] = target.split(" ");
    const args = {
      repository,
      refs: refs.filter((ref) => ref.startsWith("refs/")),
      ...(code === "force-not-allowed" ? { force: true } : { delete: true }),
    };
    return parseAccess(args).ok ? { tool: "request_access", arguments: args } : undefined;
  }
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

/** `bottle egress test`: what a bottle's egress would say to a request, from the stages that would say it. */
import { validateHeaderName, validateHeaderValue } from "node:http";
import { egressPolicy } from "../../bundle/egress-settings.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { type DryVerdict, dryRun } from "../../sidecars/egress/dry-run.ts";
import { print, printJson } from "../output.ts";
import { planAgent } from "../prepare-plan.ts";

/** As for the agent's own denied requests elsewhere: neither a success nor a failure of ours. */
const DENIED = 3;

export interface EgressTestFlags {
  readonly method: string;
  readonly header?: readonly string[];
  readonly json?: true;
}

export async function egressTest(agent: string, url: string, flags: EgressTestFlags): Promise<number> {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) {
    throw new UserError(`${printable(url)} is not a whole URL`, {
      hint: `https://${printable(url)}`,
      exitCode: 2,
    });
  }
  const headers = (flags.header ?? []).flatMap(parseHeader);
  const { plan } = await planAgent(agent, {});
  // Only names of credentials are told, so their values are never read.
  const names = Object.fromEntries(plan.credentials.map(({ tokenRef }) => [tokenRef, "not-read"]));
  const policy = egressPolicy({ plan, upstreamCa: [], credentials: names, env: {}, decoy: "" });
  const verdict = await dryRun(policy, { method: flags.method, url: withoutFragment(url), headers });
  if (flags.json) printJson(verdict);
  else for (const [title, text] of linesOf(verdict)) print(`${title.padEnd(8)} ${text}`);
  return verdict.allow ? 0 : DENIED;
}

function linesOf(verdict: DryVerdict): readonly [string, string][] {
  if (!verdict.allow) {
    const { code, status, target, reason, rule } = verdict;
    return [
      ["denied", target],
      ["code", `${code} (${status})`],
      ["reason", reason],
      ["rule", rule],
    ];
  }
  const { target, route, rule, credential, dials, through, bodyDecides } = verdict;
  return [
    ["allowed", target],
    ["rule", `route ${route}: ${rule}`],
    ...credential.map((header): [string, string] => ["sets", header]),
    ["dials", `${dials}, when its addresses are fit; nothing was resolved or sent`],
    ...(through === undefined ? [] : [["through", through] satisfies [string, string]]),
    ...(bodyDecides ? [["but", "the body decides too"] satisfies [string, string]] : []),
  ];
}

function parseHeader(text: string): readonly string[] {
  const colon = text.indexOf(":");
  const [name, value] = [text.slice(0, Math.max(0, colon)), text.slice(colon + 1).trim()];
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch {
    const hint = "--header 'accept: application/json'";
    throw new UserError(`${printable(text)} is not a header`, { hint, exitCode: 2 });
  }
  return [name, value];
}

/** No client sends it. */
function withoutFragment(url: string): string {
  const hash = url.indexOf("#");
  return hash < 0 ? url : url.slice(0, hash);
}

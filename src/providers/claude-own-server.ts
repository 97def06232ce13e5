/**
 * One MCP server of the operator's, as `~/.claude.json` has it, made fit for a guest. Contract (I2): nothing comes
 * along that proves who the operator is. A header, variable or argument that could is refused, never left out: a
 * server without its credential would fail later and say less. Egress presents credentials, by the host's route.
 */
import * as z from "zod";
import type { PlannedMcpServer } from "../contract/plan.ts";
import { BOTTLE_MCP_SERVER } from "../contract/provider.ts";
import { quoted } from "../lib/parsed.ts";
import { isCredentialName, opaqueIn } from "../manifest/secret-text.ts";

const texts = z.record(z.string(), z.string()).default({});
const shape = z.union([
  z.looseObject({ type: z.enum(["http", "sse"]), url: z.string(), headers: texts }),
  z.looseObject({
    type: z.literal("stdio").default("stdio"),
    command: z.string().min(1),
    args: z.array(z.string()).default([]),
    env: texts,
  }),
]);

/** What a server may have besides, and why it is refused: each is a way to a credential. */
const REFUSED_KEYS: Readonly<Record<string, string>> = {
  headersHelper: "is a program of your host that makes a credential",
  oauth: "is a login that stays on your host",
};

export type OwnServer =
  | { readonly ok: true; readonly server: PlannedMcpServer }
  /** Never with a value: it may be the secret. */
  | { readonly ok: false; readonly faults: readonly string[] };

export function ownServer(name: string, value: unknown): OwnServer {
  const fail = (...faults: readonly string[]): OwnServer => ({ ok: false, faults });
  if (name === BOTTLE_MCP_SERVER) return fail("has the name of the bottle's own server: give it another one");
  const parsed = shape.safeParse(value);
  if (!parsed.success)
    return fail("is of no kind that can come along: type http or sse with a url, or a command");
  const entry = parsed.data;
  const keys = Object.keys(REFUSED_KEYS).filter((key) => Object.hasOwn(entry, key));
  const refusedKeys = keys.map((key) => `${key} ${REFUSED_KEYS[key] ?? ""}`);
  if (entry.type === "stdio") {
    const { type, command, args, env } = entry;
    const faults = [
      ...refusedKeys,
      ...[command, ...args].flatMap((text, i) => faultOf(i === 0 ? "command" : `args[${i - 1}]`, text)),
      // `--token x`, `--token=x`: whatever x looks like.
      ...args.flatMap((text, i) =>
        isCredentialName(/^--?([^=]*)/.exec(text)?.[1] ?? "") &&
        (text.includes("=") || args[i + 1] !== undefined)
          ? [`args[${i}] is the option of a credential: ${USE_ENV}`]
          : [],
      ),
      ...Object.entries(env).flatMap(([key, text]) =>
        isCredentialName(key) ? [`env.${key} is a credential: ${USE_ENV}`] : faultOf(`env.${key}`, text),
      ),
    ];
    return faults.length > 0
      ? fail(...faults)
      : { ok: true, server: { name, place: { type, command, args, env } } };
  }
  const { type, headers } = entry;
  const url = webUrl(entry.url);
  if (url === undefined) return fail("url is no http or https address");
  const useRoute = `use the route of ${url.hostname} in the bottle, with auth: {scheme, token_ref}`;
  const faults = [
    ...refusedKeys,
    ...(url.username + url.password === "" ? [] : [`url has a login in it: ${useRoute}`]),
    ...[...url.searchParams.keys()]
      .filter(isCredentialName)
      .map((key) => `url has the credential ${quoted(key)} in it: ${useRoute}`),
    ...faultOf("url", entry.url, useRoute),
    ...Object.entries(headers).flatMap(([key, text]) =>
      isCredentialName(key)
        ? [`headers.${key} is a credential: ${useRoute}`]
        : faultOf(`headers.${key}`, text, useRoute),
    ),
  ];
  return faults.length > 0
    ? fail(...faults)
    : { ok: true, server: { name, place: { type, url: url.href, headers } } };
}

const USE_ENV = "what the agent is to have is for env of the bottle, which is shown; take it out here";

function faultOf(where: string, text: string, instead: string = USE_ENV): readonly string[] {
  if (/\$\{|[\p{Cc}\u2028\u2029]/u.test(text)) {
    return [
      `${where} has a variable of your environment or a control character in it: write the text itself`,
    ];
  }
  const secret = opaqueIn(text);
  return secret === undefined ? [] : [`${where} looks like it holds a secret (${secret}): ${instead}`];
}

function webUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === "https:" || url?.protocol === "http:" ? url : undefined;
}

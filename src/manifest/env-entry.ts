/**
 * Entries of `env`. Every one of them is given to the agent on purpose. Nothing is interpolated: a value is
 * a literal, a question to the operator, or one host variable as a whole, and a text that looks like more
 * than that is refused instead of being passed on half understood.
 */
import * as z from "zod";
import type { EnvSource } from "../contract/plan.ts";
import { parseHost } from "../lib/host.ts";
import { accept, type Parsed, parsedText, reject } from "../lib/parsed.ts";
import { isVariable, line, variable } from "./scalars.ts";

export interface EnvEntry {
  readonly source: EnvSource;
  /** The only hosts to which this value may be sent. */
  readonly to?: readonly string[];
}

interface Reserved {
  readonly names: RegExp;
  readonly reason: string;
}

/** Names that a manifest cannot set, and why. The agent is free to set any of them inside, for its own commands. */
const RESERVED: readonly Reserved[] = [
  {
    names: /^(?:(?:HTTPS?|ALL|FTP|NO)_PROXY|NODE_USE_ENV_PROXY)$/i,
    reason: "the bottle sets it: it leads to egress, the only way out",
  },
  {
    names:
      /^(?:NODE_EXTRA_CA_CERTS|NODE_USE_SYSTEM_CA|NODE_TLS_REJECT_UNAUTHORIZED|SSL_CERT_(?:FILE|DIR)|NIX_SSL_CERT_FILE|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|PIP_CERT|HTTPLIB2_CA_CERTS|CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE|GRPC_DEFAULT_SSL_ROOTS_FILE_PATH|BUNDLE_SSL_CA_CERT|GIT_SSL_CAINFO|GIT_SSL_NO_VERIFY|CARGO_HTTP_CAINFO|DENO_CERT|DENO_TLS_CA_STORE|AWS_CA_BUNDLE|CODEX_CA_CERTIFICATE)$/,
    reason: "the bottle sets it: it names the bottle's own CA",
  },
  {
    names: /^(?:HOME|USER|LOGNAME)$/,
    reason: "the bottle sets it: the agent's user and home are the same in every bottle",
  },
  {
    // The programs with which a backend starts a command in a guest get the command's environment too: a
    // library that the agent wrote must not be loaded into them.
    names: /^(?:LD|DYLD)_/,
    reason: "it would load code into the programs that start the agent",
  },
  { names: /^BOT_BOTTLE_/, reason: "names beginning with BOT_BOTTLE_ are bot-bottle's own" },
];

function parseEnvName(text: string): Parsed<string> {
  if (!isVariable(text)) return reject("is not a variable's name: letters, digits and underscore");
  const reserved = RESERVED.find((each) => each.names.test(text));
  return reserved === undefined ? accept(text) : reject(`cannot be set here: ${reserved.reason}`);
}

/** In a JSON Schema this is a string: key types allow no transform, hence a refinement. */
export const envName = z.string().superRefine((text, context) => {
  const result = parseEnvName(text);
  if (!result.ok) context.addIssue({ code: "custom", message: result.reason });
});

const ESCAPE_HATCH = "for this very text write {value: …}";

function parseShortForm(text: string): Parsed<EnvEntry> {
  if (text.startsWith("?")) {
    const question = line.safeParse(text.slice(1).trim());
    if (question.success) return accept({ source: { kind: "prompt", text: question.data } });
    return reject(`needs the question to ask, on one line, after the ?; ${ESCAPE_HATCH}`);
  }
  const reference = /^\$\{([^{}]*)\}$/.exec(text);
  if (reference !== null) {
    const name = reference[1] ?? "";
    if (isVariable(name)) return accept({ source: { kind: "host", variable: name } });
    return reject(`must name one host variable: \${NAME}; ${ESCAPE_HATCH}`);
  }
  if (text.startsWith("$") || text.includes("${")) {
    return reject(`nothing is interpolated: a value is a text, or \${NAME} as a whole; ${ESCAPE_HATCH}`);
  }
  return literal(text);
}

function literal(value: string): Parsed<EnvEntry> {
  if (value.includes("\0")) return reject("must not contain a NUL character");
  return accept({ source: { kind: "literal", value } });
}

const SOURCES = ["value", "from", "ask"] as const;

const longForm = z
  .strictObject({
    value: z
      .string()
      .exactOptional()
      .describe("A text, taken as it is, also when it begins with ? or $. One of value, from, ask."),
    from: variable
      .exactOptional()
      .describe("The variable of your environment to copy, whole. One of value, from, ask."),
    ask: line.exactOptional().describe("The question to ask you at launch. One of value, from, ask."),
    to: z
      .array(parsedText(parseHost))
      .min(1, "is empty: leave it out, or name the hosts")
      .exactOptional()
      .describe("The only hosts that this value may be sent to."),
  })
  .superRefine((entry, context) => {
    const given = SOURCES.filter((key) => Object.hasOwn(entry, key));
    if (given.length === 1) return;
    context.addIssue({ code: "custom", message: `needs exactly one of ${SOURCES.join(", ")}` });
  })
  .transform((entry, context): EnvEntry => {
    const source = sourceOf(entry);
    if (source.ok) return entry.to === undefined ? source.value : { ...source.value, to: entry.to };
    context.addIssue({ code: "custom", path: ["value"], message: source.reason });
    return z.NEVER;
  });

function sourceOf(entry: { value?: string; from?: string; ask?: string }): Parsed<EnvEntry> {
  if (entry.from !== undefined) return accept({ source: { kind: "host", variable: entry.from } });
  if (entry.ask !== undefined) return accept({ source: { kind: "prompt", text: entry.ask } });
  return literal(entry.value ?? "");
}

export const envEntry = z.union([parsedText(parseShortForm), longForm]);

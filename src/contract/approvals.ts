/**
 * What an agent may ask for, what the operator answers, and what supervise and the keeper tell each other. The
 * sidecar faces the guest, so the keeper parses whatever comes from it as it would a stranger's; of what is here only
 * the justification is the agent's own words, and nothing is ever decided by it.
 */
import * as z from "zod";
import { gitRepoName } from "./git-gate.ts";
import { listenSchema } from "./sidecar.ts";

/** What one request may hold: its record fits into one line of the log uncut, and on a screen or two. */
export const ASK_LIMITS = {
  /** Paths, or refs, in one request. Whoever needs more asks for a prefix. */
  items: 16,
  /** Of one exception: more than git-gate names in one denial. */
  subjects: 24,
  /** Characters of a subject, likewise. */
  subjectLength: 320,
  /** Methods of a request; there are nine, and WebDAV's. */
  methods: 16,
  /** Characters of a path or a ref: what a denial names. */
  itemLength: 512,
  /** Characters of the agent's words. People read them. */
  justification: 2_000,
} as const;

/** Refusals of git-gate's that can be lifted for one subject. */
export const GIT_EXCEPTION_CODES = [
  "secret-found",
  "path-protected",
  "path-not-allowed",
  "attributes-filter",
  "submodule-url",
  "lfs-pointer",
  "archive-unreadable",
  "ref-not-allowed",
] as const;

/**
 * Those of them that a manifest can lift for ever. A value that was found is named by a mark, and the key of marks ends
 * with the bottle: nothing that lasts could know it again.
 */
export const LASTING_EXCEPTION_CODES = GIT_EXCEPTION_CODES.filter((code) => code !== "secret-found");
export type LastingExceptionCode = Exclude<(typeof GIT_EXCEPTION_CODES)[number], "secret-found">;

const { items, subjects, subjectLength, methods, itemLength, justification } = ASK_LIMITS;
/** Of what can be seen: each is written on the log as it is, and shown so. */
const plainLine = z
  .string()
  .min(1)
  .max(subjectLength)
  .regex(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]+$/u);

/** That egress lets one value pass to one host. */
const findingAskSchema = z.strictObject({
  kind: z.literal("finding"),
  host: z.string().max(253),
  detector: plainLine,
  /** The mark that egress's denial named: a keyed fingerprint of the value. */
  finding: plainLine,
});

/**
 * One thing that is asked for, in its one spelling: lists are sorted and without repetition, so that what is asked
 * twice is the same twice. src/approvals/ask.ts makes it of an agent's arguments, and judges it.
 */
export const askSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("host"),
    /** A whole host name, lower case. */
    host: z.string().max(253),
    /** Upper case; empty: any. */
    methods: z.array(z.string().regex(/^[A-Z][A-Z-]{0,31}$/)).max(methods),
    /** Empty: any. */
    paths: z
      .array(z.strictObject({ type: z.enum(["exact", "prefix"]), value: z.string().max(itemLength) }))
      .max(items),
  }),
  z.strictObject({
    kind: z.literal("repository"),
    repo: gitRepoName,
    /** Patterns; one `*` in each stands for one or more characters. */
    refs: z.array(z.string().max(itemLength)).min(1).max(items),
    force: z.boolean(),
    delete: z.boolean(),
  }),
  /**
   * What no sidecar can give, because the guest is made with it. A yes gives nothing by itself: it is the operator's
   * word, kept until `bottle resume --with …` makes it true.
   */
  z.strictObject({
    kind: z.literal("environment"),
    /** Names. */
    variables: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/)).max(items),
    /** Files or folders, by the guest path where they are wanted: of no character that a shell, given it, would act on. */
    files: z.array(z.string().regex(/^\/(?!.*(?:^|\/)\.{0,2}(?:\/|$))[A-Za-z0-9@/+._=-]{1,511}$/)).max(items),
    /** Programs or packages, by name. */
    programs: z.array(z.string().regex(/^[A-Za-z0-9@][A-Za-z0-9@/+._:=~-]{0,127}$/)).max(items),
  }),
  findingAskSchema,
  /** That git-gate lets pass what it refused with this code. */
  z.strictObject({
    kind: z.literal("git-exception"),
    repo: gitRepoName,
    code: z.enum(GIT_EXCEPTION_CODES),
    /** As the denial named them. */
    subjects: z.array(plainLine).min(1).max(subjects),
  }),
]);
export type Ask = z.infer<typeof askSchema>;

/** 128 bits in hex; whoever does not know it cannot name a request. */
export const ticketSchema = z.string().regex(/^[0-9a-f]{32}$/);

/** Milliseconds since 1970. */
const instant = z.number().int().min(0);
const count = z.number().int().min(0);
const person = z.string().max(200);
const reason = z.string().max(justification);

/** What a grant lasts for; null: without that bound. `always` is `session`, and the manifest is written besides. */
export const grantTermsSchema = z.strictObject({
  lifetime: z.enum(["once", "for", "session", "always"]),
  expiresAt: instant.nullable(),
  uses: count.nullable(),
  bytes: count.nullable(),
});
export type GrantTerms = z.infer<typeof grantTermsSchema>;

/**
 * One thing that becomes possible, computed and never told by the agent: see src/approvals/difference.ts. Sorted
 * lists; an empty one is "any".
 */
export const changeSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("request"),
    host: z.string(),
    methods: z.array(z.string()),
    /** `/a` alone, `/a/*` and all below it, or `~` and a pattern; absent: any. */
    path: z.string().exactOptional(),
    /** Conditions on headers that have to hold, in words. */
    headers: z.array(z.string()),
    /** Names of credentials that egress adds. */
    credentials: z.array(z.string()),
    /** False where the connection is not opened, so that nothing in it is seen. */
    inspected: z.boolean(),
  }),
  z.strictObject({
    kind: z.literal("push"),
    repo: z.string(),
    /** Its URL. */
    upstream: z.string(),
    ref: z.string(),
    may: z.enum(["push", "force", "delete"]),
  }),
  /** Possible only once the bottle is resumed with it. */
  z.strictObject({
    kind: z.literal("environment"),
    what: z.enum(["variable", "file", "program"]),
    name: z.string(),
  }),
  z.strictObject({
    kind: z.literal("exception"),
    /** `host api.x.test` or `repository app at <its URL>`. */
    where: z.string(),
    /** The detector of a finding, or the code of a refusal. */
    what: z.string(),
    subject: z.string(),
  }),
]);
export type Change = z.infer<typeof changeSchema>;

/**
 * The data of each event of the log that requests and grants are made of, by name. Replayed in order they are the
 * state (src/approvals/ledger.ts), so nothing about a grant is true that is not here.
 */
export const approvalEventSchemas = {
  "request.asked": z.object({
    ticket: ticketSchema,
    ask: askSchema,
    justification: z.string(),
    at: instant,
    deadline: instant,
  }),
  /** The ask may be narrower or wider than what was asked: the operator edited it. */
  "request.approved": z.object({
    ticket: ticketSchema,
    ask: askSchema,
    terms: grantTermsSchema,
    /** What the operator's approval was bound to. */
    digest: z.string(),
    changes: z.array(z.string()),
    by: person,
    reason: reason.exactOptional(),
    at: instant,
  }),
  "request.denied": z.object({ ticket: ticketSchema, by: person, reason, at: instant }),
  /** Nobody answered in time: the answer is no. */
  "request.expired": z.object({ ticket: ticketSchema, at: instant }),
  "request.withdrawn": z.object({ ticket: ticketSchema, at: instant }),
  "grant.used": z.object({ ticket: ticketSchema, uses: count, bytes: count, at: instant }),
  "grant.ended": z.object({
    ticket: ticketSchema,
    how: z.enum(["used-up", "expired", "revoked"]),
    by: person.exactOptional(),
    reason: reason.exactOptional(),
    at: instant,
  }),
} as const;

/** What the agent is told of a request of its own. */
export const requestViewSchema = z.strictObject({
  ticket: ticketSchema,
  ask: askSchema,
  status: z.enum(["pending", "approved", "denied", "expired", "withdrawn"]),
  /** By when it is answered, or was refused for want of an answer. */
  deadline: instant,
  /** The operator's words, of a denial or an approval. */
  reason: z.string().exactOptional(),
  /** Of an approved one: what was given, which may not be all that was asked. */
  grant: z
    .strictObject({
      ask: askSchema,
      status: z.enum(["active", "used-up", "expired", "revoked"]),
      expiresAt: instant.nullable(),
      usesLeft: count.nullable(),
      bytesLeft: count.nullable(),
      reason: z.string().exactOptional(),
    })
    .exactOptional(),
});
export type RequestView = z.infer<typeof requestViewSchema>;

const pathMatch = z.strictObject({ type: z.enum(["exact", "prefix", "regex"]), value: z.string() });

/** What the bottle can do, as the agent is told it: no secret, and no name of one. */
export const capabilitiesSchema = z.strictObject({
  routes: z.array(
    z.strictObject({
      host: z.string(),
      /** Any one of them; empty: every request. */
      matches: z.array(
        z.strictObject({
          paths: z.array(pathMatch).exactOptional(),
          methods: z.array(z.string()).exactOptional(),
          /** Their names: a manifest may use a header's value as a shared secret. */
          headers: z.array(z.string()).exactOptional(),
        }),
      ),
      /** Egress adds a credential: the agent sends none. */
      authenticated: z.boolean(),
    }),
  ),
  repos: z.array(
    z.strictObject({
      name: z.string(),
      refs: z.array(z.strictObject({ pattern: z.string(), force: z.boolean(), delete: z.boolean() })),
    }),
  ),
});
export type Capabilities = z.infer<typeof capabilitiesSchema>;

/** The part of supervise's configuration that `reload` replaces, whole. */
export const supervisePolicySchema = z.strictObject({
  capabilities: capabilitiesSchema,
  /** Names of values that are known to be secret, and of decoys: no exception is ever made for those. */
  secrets: z.array(z.string()),
  /** By the keeper's clock, as all times of requests are: the host's may have been set back since it began. */
  now: instant,
  /** All that are pending, and the latest of the others. */
  requests: z.array(requestViewSchema),
  /** Nothing leaves the bottle until the operator thaws it. */
  frozen: z.boolean(),
});
export type SupervisePolicy = z.infer<typeof supervisePolicySchema>;

export const superviseConfigSchema = z.strictObject({
  bottle: z.string(),
  listen: listenSchema,
  /** Secret. When set, every request must carry it as `Authorization: Bearer`. */
  bearer: z.string().exactOptional(),
  /** Names under which the guest dials it, besides those of its own loopback; without port. */
  hosts: z.array(z.string()),
  policy: supervisePolicySchema,
});
export type SuperviseConfig = z.infer<typeof superviseConfigSchema>;

/** The data of an `ask` of supervise's. */
export const superviseAskSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("request"),
    ask: askSchema,
    justification: z.string().max(justification),
  }),
  z.strictObject({ kind: z.literal("withdraw"), ticket: ticketSchema }),
]);
export type SuperviseAsk = z.infer<typeof superviseAskSchema>;

/** The data of an `ask` of egress's, which asks for nothing else; the justification is its own words. */
export const egressAskSchema = z.strictObject({
  kind: z.literal("request"),
  ask: findingAskSchema,
  justification: z.string().max(justification),
});

/** The `answer` to either. */
export const superviseAnswerSchema = z.discriminatedUnion("kind", [
  /** `joined`: it had been asked already. */
  z.strictObject({ kind: z.literal("request"), request: requestViewSchema, joined: z.boolean() }),
  z.strictObject({
    kind: z.literal("refused"),
    code: z.enum([
      "nothing-new",
      "too-many-pending",
      "not-grantable",
      "no-such-request",
      "not-pending",
      "unavailable",
    ]),
    reason: z.string(),
  }),
]);
export type SuperviseAnswer = z.infer<typeof superviseAnswerSchema>;

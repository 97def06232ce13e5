/**
 * What the keeper tells git-gate, and what git-gate tells the keeper. The configuration holds secrets (keys, tokens,
 * the bearer): it travels over stdin, once, and nothing of it is ever written out (I2).
 */
import * as z from "zod";
import { listenSchema, routeGrantSchema } from "./sidecar.ts";

const absolute = z.string().regex(/^\/[^\0\n]*$/, "must be an absolute path on one line");
/** A word that ends up in a file of ssh's: nothing in it may end a line, a word or a quotation. */
const sshWord = z.string().regex(/^[^\s"'\\\0-\x1f\x7f-][^\s"'\\\0-\x1f\x7f]*$/, "must be one plain word");

/** Names a repository in the gate's URL: `http://<gate>/<name>.git`. */
export const gitRepoName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "must be letters, digits, dots, dashes and underscores")
  .refine((text) => !/\.(git|lock)$|\.\./i.test(text), "must not end in .git or .lock, nor contain ..");

/** How the gate proves itself to an ssh upstream. */
const sshKeySchema = z.discriminatedUnion("kind", [
  /** Secret: the private key's text, in any form that ssh-add reads, without a passphrase. */
  z.strictObject({ kind: z.literal("private-key"), text: z.string() }),
  /** The operator's agent; `publicKey` ("ssh-ed25519 AAAA…") chooses among its keys. */
  z.strictObject({ kind: z.literal("agent"), socket: absolute, publicKey: z.string().optional() }),
]);

/** Secret. */
const credentialSchema = z.strictObject({ username: z.string(), token: z.string() });

export const gitUpstreamSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("ssh"),
    user: sshWord,
    host: sshWord,
    port: z.number().int().min(1).max(65_535),
    /** `/srv/x.git` of an ssh:// URL, `team/x.git` of the scp-like form. */
    path: z.string().regex(/^[^-\0\n][^\0\n]*$/, "must be a path on one line that begins with no dash"),
    key: sshKeySchema,
    /** "ssh-ed25519 AAAA…", one for each key that is trusted. Empty: neither fetch nor push. */
    hostKeys: z.array(
      z.string().regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/=]+$/, "must be a key's type and its base64"),
    ),
  }),
  z.strictObject({
    kind: z.literal("https"),
    /** Without user, password, query and fragment. */
    url: z.string().regex(/^https:\/\/[^\s@?#"'\\]+$/, "must be an https URL without a user and a query"),
    /** Sent as Basic. Forges take any name beside a token; absent with it: anonymous. */
    credential: credentialSchema.optional(),
    /** PEM texts. When there are any, this upstream's certificate must come from one of them. */
    ca: z.array(z.string()),
    /** Through which it is reached, and where its name is resolved. */
    proxy: z
      .strictObject({
        host: z.string().regex(/^(?:[A-Za-z0-9.-]+|\[[0-9a-f:.]+\])$/, "must be a name or an address"),
        port: z.number().int().min(1).max(65_535),
        tls: z.boolean(),
        credential: credentialSchema.optional(),
      })
      .optional(),
  }),
  /** A bare repository on this host, as the operator's own manifest says. */
  z.strictObject({ kind: z.literal("local"), path: absolute }),
]);

/** One line of what may be pushed. */
const refRuleSchema = z.strictObject({
  /**
   * A whole ref name; one `*` in it stands for one or more characters, slashes included. The part after `refs/` is
   * written out, so that nobody lists replace or meta refs without naming them.
   */
  pattern: z
    .string()
    .regex(/^refs\/[A-Za-z0-9_-]+\/[^*\s]*\*?[^*\s]*$/, "must be refs/<kind>/… with at most one *"),
  /** May be moved to what does not descend from it. */
  force: z.boolean(),
  delete: z.boolean(),
  /** On what the rule hangs; absent: it is the bottle's own. */
  grant: routeGrantSchema.optional(),
});

/** Zero is nothing, not everything. */
const gitLimitsSchema = z.strictObject({
  /** Bytes that a push may send, packed. */
  packBytes: z.number().int().min(0),
  /** Bytes of one file. */
  fileBytes: z.number().int().min(0),
  /** New objects in one push. */
  objects: z.number().int().min(0),
  /** Paths changed by one push, each counted once for every commit that changes it. */
  files: z.number().int().min(0),
});
export type GitLimits = z.infer<typeof gitLimitsSchema>;

/** What stands when the manifest is silent. */
export const DEFAULT_GIT_LIMITS: GitLimits = {
  packBytes: 2 * 1024 ** 3,
  // What the large forges take at most.
  fileBytes: 100 * 1024 ** 2,
  objects: 500_000,
  files: 500_000,
};

/** `{refs: []}` allows `refs/heads/bottle/<id>/*` alone: {@link defaultRefRules} is what the plan shows. */
export const gitRepoPolicySchema = z.strictObject({
  refs: z.array(refRuleSchema),
  paths: z.strictObject({
    /** Globs (`*`, `?` within a name, `**` across); when there are any, nothing else may change. */
    only: z.array(z.string()),
    /** Globs of paths that may change although they are protected by default (CI, hooks, owners, …). */
    lift: z.array(z.string()),
  }),
  limits: gitLimitsSchema,
  /** Every push waits for the operator. */
  review: z.boolean(),
});
export type GitRepoPolicy = z.infer<typeof gitRepoPolicySchema>;

/** What a bottle may push when its manifest lists no refs. */
export function defaultRefRules(bottle: string): GitRepoPolicy["refs"] {
  return [{ pattern: `refs/heads/bottle/${bottle}/*`, force: false, delete: false }];
}

/** Granted by the operator, for exactly one thing that was refused: the code and the subject of that refusal. */
const gitExceptionSchema = z.strictObject({
  repo: z.string(),
  code: z.string(),
  /** A finding's `<rule>:<mark>`, a path, or a ref: what the ready-made ask named. */
  subject: z.string(),
  grant: routeGrantSchema.optional(),
});

/** The part that `reload` replaces, whole. `repos` has the same names as the configuration. */
export const gitGatePolicySchema = z.strictObject({
  repos: z.record(gitRepoName, gitRepoPolicySchema),
  exceptions: z.array(gitExceptionSchema),
  /** Nothing is pushed until a policy says otherwise. */
  frozen: z.boolean().optional(),
  /** Secret: values that may leave in no push. */
  known: z.array(z.strictObject({ name: z.string(), kind: z.enum(["known", "canary"]), value: z.string() })),
  /** The operator's own patterns, RE2. */
  rules: z.array(z.strictObject({ id: z.string(), pattern: z.string() })),
});
export type GitGatePolicy = z.infer<typeof gitGatePolicySchema>;

export const gitGateConfigSchema = z.strictObject({
  bottle: z.string(),
  listen: listenSchema,
  /** Secret. When set, every request must carry it: `Authorization: Bearer`, or Basic with it as password. */
  bearer: z.string().optional(),
  /** Where the mirrors lie: a folder of the gate's own, on a disk. May be kept from one start to the next. */
  stateDir: absolute,
  /** For sockets and ssh's files: 0700, short, the gate's own; what is in it is removed at start. */
  runtimeDir: absolute,
  repos: z.array(
    z.strictObject({
      name: gitRepoName,
      /** The URLs under which the guest knows it; shown to the agent, and never scrubbed from upstream's words. */
      spellings: z.array(z.string()),
      upstream: gitUpstreamSchema,
    }),
  ),
  policy: gitGatePolicySchema,
  /** Secret, base64: keep it for a bottle's whole life, and a value keeps its mark. */
  fingerprintKey: z.string(),
});
export type GitGateConfig = z.infer<typeof gitGateConfigSchema>;
export type GitUpstream = z.infer<typeof gitUpstreamSchema>;

/** One ref of a push. Forty zeros: it was not there before, or is not any more. */
const updateSchema = z.strictObject({ ref: z.string(), old: z.string(), new: z.string() });
export type GitUpdate = z.infer<typeof updateSchema>;

/** Where a secret stood; never what it was. */
const gitFindingSchema = z.strictObject({
  rule: z.string(),
  kind: z.string(),
  /** The same for the same value, for as long as the fingerprint key is kept. */
  mark: z.string(),
  /** `file`, `commit`, `tag`, `path` or `ref`: what it stood in. */
  in: z.string(),
  path: z.string().optional(),
  line: z.number().int().optional(),
  commit: z.string().optional(),
  /** The members of archives that were opened to see it, outermost first. */
  inside: z.array(z.string()).optional(),
  /** Encodings that were undone to see it. */
  through: z.array(z.string()).optional(),
});
export type GitFinding = z.infer<typeof gitFindingSchema>;

/** The data of each event, by name; what `bottle git log` reads. */
export const gitEventSchemas = {
  /** A fetch or clone was let in, its upstream read just before. */
  "git.fetched": z.looseObject({ repo: z.string(), changed: z.number().int(), ms: z.number() }),
  /** It was found fit, and is on the log before upstream hears of it: what became of it is the next word on it. */
  "git.forwarding": z.looseObject({
    repo: z.string(),
    updates: z.array(updateSchema),
    commits: z.number().int(),
    objects: z.number().int(),
    bytes: z.number().int(),
    reviewed: z.boolean(),
    /** What was given for a while and is used by it. */
    grants: z.array(z.string()).optional(),
  }),
  /** Upstream has taken it. */
  "git.pushed": z.looseObject({
    repo: z.string(),
    updates: z.array(updateSchema),
    commits: z.number().int(),
    objects: z.number().int(),
    bytes: z.number().int(),
    /** Compressed files that were not opened (their format is none that is), at most some. */
    unopened: z.array(z.string()),
    reviewed: z.boolean(),
    ms: z.number(),
  }),
  /** Nothing of it has reached upstream. Also of a fetch or request that was refused; `updates` is empty then. */
  "git.refused": z.looseObject({
    repo: z.string().optional(),
    code: z.string(),
    reason: z.string(),
    target: z.string(),
    rule: z.string(),
    updates: z.array(updateSchema),
    findings: z.array(gitFindingSchema),
    /** More than one when the guest asked so fast that some were counted together: then without updates, and with one finding of each rule. */
    count: z.number().int(),
  }),
  /** Upstream went away before it said whether it took the push: the next fetch shows. */
  "git.unresolved": z.looseObject({ repo: z.string(), updates: z.array(updateSchema), reason: z.string() }),
} as const;

/** The data of an `ask`: a push that waits. The agent's words in it are printable, and still the agent's. */
export const gitReviewSchema = z.strictObject({
  kind: z.literal("git-push"),
  repo: z.string(),
  updates: z.array(updateSchema),
  /** Newest first, at most some; `commitCount` says how many there are. */
  commits: z.array(z.strictObject({ id: z.string(), author: z.string(), subject: z.string() })),
  commitCount: z.number().int(),
  /** `A path`, `M path`, `D path`, at most some; `fileCount` says how many there are. */
  files: z.array(z.string()),
  fileCount: z.number().int(),
});
export type GitReview = z.infer<typeof gitReviewSchema>;

/** The `answer` to it. `note` is shown to the agent. */
export const gitReviewAnswerSchema = z.strictObject({
  decision: z.enum(["approve", "refuse"]),
  note: z.string().optional(),
});
export type GitReviewAnswer = z.infer<typeof gitReviewAnswerSchema>;

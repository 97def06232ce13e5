/**
 * What is broken on purpose in git-gate: every rule on refs and paths, every step of looking at a push and of sending it on, and
 * what makes its answers true.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Batch, type Guarded, guards, type Mutant } from "./guards.ts";

const BASE = "src/sidecars/git-gate";
const T = "test/integration/git-gate";
const U = "test/unit/git-gate";
const POLICY = `${U}/policy.test.ts`;
const REFS_UNIT = `${U}/refs.test.ts`;
const REFS = `${T}/refs-and-paths.test.ts`;
const SECRETS = `${T}/hidden-secrets.test.ts`;
const OBJECTS = `${T}/objects.test.ts`;
const LIFE = `${T}/life.test.ts`;
const GRANTS = `${T}/grants.test.ts`;
const FRONT = `${T}/front.test.ts`;
const HOOK = `${T}/hook.test.ts`;
const KILL = `${T}/kill.test.ts`;
const TIME = `${T}/bounds.test.ts`;
const UPSTREAMS = `${T}/upstreams.test.ts`;
const PROGRAMS = `${T}/programs.test.ts`;
const WORDS = `${U}/words.test.ts`;

const GUARDED: readonly Guarded[] = [
  { file: "policy/refs.ts", tests: [POLICY, REFS_UNIT] },
  { file: "policy/paths.ts", tests: [POLICY, REFS] },
  { file: "policy/content.ts", tests: [POLICY, REFS] },
  { file: "policy/glob.ts", tests: [POLICY] },
  { file: "push/targets.ts", tests: [REFS] },
  { file: "push/push.ts", tests: [LIFE, GRANTS, REFS, OBJECTS, TIME] },
  { file: "scan/inspect-push.ts", tests: [SECRETS, OBJECTS, REFS, TIME] },
  { file: "scan/findings.ts", tests: [`${U}/findings.test.ts`, SECRETS] },
  { file: "scan/push-objects.ts", tests: [OBJECTS, REFS, SECRETS, TIME] },
  { file: "scan/push-paths.ts", tests: [OBJECTS, REFS, SECRETS, TIME] },
  { file: "scan/content.ts", tests: [SECRETS, TIME, `${U}/late-archive.test.ts`] },
  {
    file: "scan/members.ts",
    tests: [
      `${U}/members.test.ts`,
      `${U}/lying-archive.test.ts`,
      SECRETS,
      `${T}/../../fuzz/git-gate-content.test.ts`,
    ],
  },
  { file: "scan/changes.ts", tests: [OBJECTS, REFS, TIME] },
  { file: "scan/rules-files.ts", tests: [TIME, REFS] },
  { file: "http/target.ts", tests: [FRONT] },
  { file: "http/front.ts", tests: [FRONT, TIME] },
  { file: "http/body.ts", tests: [FRONT, TIME, OBJECTS] },
  { file: "http/bearer.ts", tests: [FRONT] },
];

/** Guards without which the same comes out, and those for bugs of ours. */
const EQUIVALENT: ReadonlySet<string> = new Set([
  // Without it: the same, by a longer way.
  "scan/inspect-push.ts: tips.length > 0",
  "scan/push-paths.ts: budget.refusal !== undefined",
  "push/push.ts: context.signal.aborted",
  "push/targets.ts: moved.length === 0",
  "push/targets.ts: isZero(old)",
  "scan/rules-files.ts: ids.length === 0",
  "scan/content.ts: budget.refusal !== undefined",
  "scan/content.ts: open.length === 0",
  "scan/members.ts: !ended",
  'policy/glob.ts: rest.startsWith("**")',
  // Bugs of ours.
  "push/push.ts: repo === undefined",
  "scan/inspect-push.ts: more === undefined",
  "http/front.ts: repo === undefined",
  "scan/changes.ts: mode === undefined || id === undefined || words.length !== 2 * parents + 3",
  "scan/changes.ts: rest.length > 0",
]);

const one = (
  name: string,
  file: string,
  find: string,
  replace: string,
  test: string,
  pattern?: string,
): Mutant => ({
  name: `git-gate: ${name}`,
  file: `${BASE}/${file}`,
  ...{ find, replace, tests: [test], ...(pattern === undefined ? {} : { pattern }) },
});

const SCAN: readonly Mutant[] = [
  one(
    "names of refs",
    "scan/inspect-push.ts",
    "for (const ref of refs) {",
    "for (const ref of [] as string[]) {",
    SECRETS,
    "a branch's name",
  ),
  one(
    "blobs",
    "scan/push-objects.ts",
    "return content.push(part);",
    "return undefined;",
    SECRETS,
    "in an executable file",
  ),
  one(
    "commits and tags",
    "scan/push-objects.ts",
    "push: (part) => void text.push(part), end: () => void text.end()",
    "push: () => undefined, end: () => undefined",
    SECRETS,
    "a trailer",
  ),
  one(
    "trees",
    "scan/push-objects.ts",
    "for (const finding of inspector.scan(names))",
    "for (const finding of inspector.scan(names.subarray(names.length)))",
    SECRETS,
    "an empty folder",
  ),
  one("paths", "scan/inspect-push.ts", "    paths.end();\n", "", SECRETS, "no folder's name alone"),
  one(
    "pointers to LFS",
    "scan/push-objects.ts",
    "if (isLfsPointer(Buffer.concat(small), size))",
    "if (0 === 1)",
    REFS,
    "a pointer to LFS",
  ),
  one(
    "new rules in .gitattributes",
    "scan/inspect-push.ts",
    "(await paths.ruleRefusal())",
    "undefined",
    REFS,
    "a filter",
  ),
  one(
    "links for folders",
    "policy/paths.ts",
    "const below = link && !isLifted ?",
    "const below = 0 === 1 ?",
    POLICY,
  ),
  one("letter case in paths", "policy/glob.ts", "    .toLowerCase()\n", "", POLICY),
  one("what no eye sees in paths", "policy/glob.ts", '    .replace(IGNORED, "")\n', "", POLICY),
  one(
    "dots and spaces at a name's end",
    "policy/glob.ts",
    '    .map((name) => name.replace(/(?<=.)[. ]+$/, ""))\n',
    "",
    POLICY,
  ),
  one(
    "all commits, not only the newest",
    "scan/listing.ts",
    'git rev-list --objects "$@"',
    'git rev-list --objects --max-count=1 "$@"',
    SECRETS,
    "removed by a later commit",
  ),
  one(
    "objects of all tips",
    "scan/listing.ts",
    'git rev-list --objects "$@"',
    'git rev-list --objects "$1"',
    SECRETS,
    "the second of two branches",
  ),
  one("paths of the first commit", "scan/listing.ts", '"-c --root"', '"-c"', REFS, "a history of its own"),
  one("paths of merges", "scan/listing.ts", '"-c --root"', '"--root"', REFS, "in an evil merge"),
  one(
    "what merges take back",
    "scan/merges.ts",
    "if (matters(change)) merges.add(change.commit);",
    "",
    REFS,
    "takes back",
  ),
  one(
    "what a side had not changed",
    "scan/merges.ts",
    "if (!changed.has(path)) lost.delete(path);",
    "if (!changed.has(path)) lost.has(path);",
    REFS,
    "only takes over",
  ),
  one(
    "the end of what a hook says",
    "git/hook.ts",
    "if (!endWith(chunks, end)) return;",
    "",
    HOOK,
    "the whole push",
  ),
  one(
    "refs of more than one line",
    "http/body.ts",
    'return ONE_LINE.test(this.#packets.at(-1) ?? "");',
    "return true;",
    FRONT,
    "a push of a ref whose name",
  ),
  one(
    "objects that git cannot show",
    "scan/object-stream.ts",
    "if (!reader.complete)",
    "if (0 === 1)",
    TIME,
    "cut short",
  ),
  one(
    "archives",
    "scan/content.ts",
    "const marks = marksIn(joined, carry.length);",
    "const marks: readonly Mark[] = [];",
    SECRETS,
    "self-extracting",
  ),
  one(
    "marks between two pieces",
    "scan/content.ts",
    "carry = Buffer.from(joined.subarray(Math.max(0, joined.length - CARRY)));",
    "",
    "test/fuzz/git-gate-content.test.ts",
  ),
  one(
    "a member that says it is stored",
    "scan/content.ts",
    "LIMITS.archiveDepth + (head.stated ? 0 : 1)",
    "(head.stated ? LIMITS.archiveDepth : 0)",
    `${U}/lying-archive.test.ts`,
  ),
  one(
    "a zip's table",
    "scan/content.ts",
    "  [ZIP_TABLE_MARK, readZipTable],\n",
    "",
    `${U}/lying-archive.test.ts`,
  ),
  one(
    "a pointer in pieces",
    "scan/push-objects.ts",
    "isLfsPointer(Buffer.concat(small), size)",
    "isLfsPointer(small[0] ?? Buffer.alloc(0), size)",
    `${U}/lying-archive.test.ts`,
  ),
  one(
    "memory for comparing",
    "scan/listing.ts",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a line of the source
    "  ulimit -d ${BASE_KILOBYTES + paths * PATH_KILOBYTES}\n",
    "",
    OBJECTS,
    "ten thousand million",
  ),
  one(
    "what is told of a ref",
    "push/push.ts",
    "ref: shownBytes(inspector, Buffer.from(update.ref))",
    "ref: update.ref",
    SECRETS,
    "a branch's name",
  ),
];

const FORWARD: readonly Mutant[] = [
  one(
    "all refs or none",
    "upstream/forward.ts",
    'if (updates.length > 1) options.push("--atomic");',
    "",
    LIFE,
    "refuses one of two refs",
  ),
  one("the lease", "upstream/forward.ts", "...options, ...leases, ", "...options, ", LIFE, "the lease holds"),
  one(
    "an upstream that says nothing",
    "upstream/forward.ts",
    "if (ended.timedOut || unsaid)",
    "if (0 === 1)",
    TIME,
    "takes too long",
  ),
  one(
    "a talk that broke off",
    "upstream/forward.ts",
    'return { kind: "unknown", reason: "the talk with the upstream broke off" };',
    'return { kind: "accepted", words } as never;',
    LIFE,
    "goes away in the middle",
  ),
  one(
    "what upstream refused",
    "upstream/forward.ts",
    "if (lines.length > 0) {",
    "if (0 === 1) {",
    LIFE,
    "refuses one of two refs",
  ),
  one(
    "words of the upstream's",
    "upstream/failure.ts",
    ".map((line) => remote.scrub(line.trimEnd()))",
    "",
    WORDS,
  ),
  one(
    "the pinned host key",
    "upstream/ssh-settings.ts",
    '["StrictHostKeyChecking", "yes"]',
    '["StrictHostKeyChecking", "no"]',
    UPSTREAMS,
    "another host key",
  ),
  one(
    "an unpinned host",
    "mirror.ts",
    "if (remote.unpinned) {",
    "if (0 === 1) {",
    UPSTREAMS,
    "without a pinned host key",
  ),
  one(
    "the operator's own authorities",
    "upstream/remote.ts",
    "if (ca.length > 0) {",
    "if (0 === 1) {",
    UPSTREAMS,
    "over https",
  ),
  one(
    "redirects",
    "git/settings.ts",
    '["http", ["followRedirects = false"]],',
    '["http", ["followRedirects = true"]],',
    UPSTREAMS,
    "redirect",
  ),
  one(
    "line breaks in credentials",
    "upstream/remote.ts",
    "if (/[\\n\\r\\0]/.test(value))",
    "if (0 === 1)",
    WORDS,
  ),
  one(
    "rules that hold when it is approved",
    "push/push.ts",
    "if (!again.allow) return refused(again);",
    "",
    LIFE,
    "judged again",
  ),
];

const ANSWERS: readonly Mutant[] = [
  one(
    "a report that is held",
    "http/backend.ts",
    "bytes = answer.pass(bytes);",
    "answer.pass(bytes);",
    KILL,
    "the hook while the upstream judges",
  ),
  one(
    "a report that is true",
    "http/exchange.ts",
    '(await hasAll(repo.mirror, end.updates)) ? "true" : "untrue"',
    '"true"',
    KILL,
    "the hook while the upstream judges",
  ),
  one(
    "what nobody knows",
    "http/exchange.ts",
    'return "untrue";\n    }',
    'return "true";\n    }',
    LIFE,
    "goes away in the middle",
  ),
  one(
    "what a killed receive-pack leaves",
    "http/exchange.ts",
    "await left(ended.code === 0);",
    "await left(true);",
    KILL,
    "receive-pack while the mirror's refs are locked",
  ),
  one(
    "what a killed gate leaves",
    "mirror.ts",
    "if (existsSync(gitDir)) await sweep(gitDir);",
    "",
    `${T}/process.test.ts`,
    "held locks",
  ),
  one(
    "a refusal of git's own, in words",
    "http/exchange.ts",
    "response.write(wordsForPeople(inWords(refusal, subject)));",
    "",
    OBJECTS,
    "a folder .git",
  ),
  one(
    "the end of a report",
    "http/exchange.ts",
    "response.end(said ?? reportOfNothing(refs, end.capabilities));",
    "response.end(said);",
    KILL,
    "http-backend while half",
  ),
  one(
    "what a push goes with",
    "git/run.ts",
    'if (code !== 0) signalGroup("SIGTERM");',
    "",
    PROGRAMS,
    "that failed takes with it",
  ),
  one(
    "what has ended",
    "git/run.ts",
    "if (over || lastResort !== undefined) return;",
    "if (lastResort !== undefined) return;",
    PROGRAMS,
    "that ended well",
  ),
  one(
    "programs without a gate",
    "git/run.ts",
    '? ["setpriv", "--pdeathsig", "KILL", "--"]',
    "? []",
    `${T}/process.test.ts`,
    "no process of its own",
  ),
  one(
    "the size of what deltas make",
    "http/backend.ts",
    "...hookEnd.env, GIT_ALLOC_LIMIT: String(allocationOf(limits))",
    "...hookEnd.env",
    OBJECTS,
    "a few bytes that is a gigabyte",
  ),
  one(
    "the size of a pack",
    "http/backend.ts",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a piece of the source
    "`receive.maxInputSize=${Math.max(1, limits.packBytes)}`",
    '"receive.maxInputSize=0"',
    SECRETS,
    "refuses a pack that is too large",
  ),
  one(
    "git's own header",
    "http/backend.ts",
    "/^version=[0-2]$/.test(protocol)",
    "true",
    TIME,
    "Git-Protocol",
  ),
  one("fsck", "git/settings.ts", '    "receive.fsckObjects=true",\n', "", OBJECTS, "a folder .git"),
  one(
    "push options",
    "git/settings.ts",
    '"receive.advertisePushOptions=false"',
    '"receive.advertisePushOptions=true"',
    REFS,
    "push options",
  ),
  one(
    "shallow pushes",
    "git/settings.ts",
    '"receive.shallowUpdate=false"',
    '"receive.shallowUpdate=true"',
    TIME,
    "shallow",
  ),
  one(
    "a hook that cannot run",
    "gate.ts",
    "    await tryHook(home);\n",
    "",
    `${T}/process.test.ts`,
    "cannot run its hook",
  ),
];

/** One test for each, with a path that nothing else protects. */
export function protectedPathsBatch(root: string): Batch {
  const file = `${BASE}/policy/protected-paths.ts`;
  const rows = readFileSync(join(root, file), "utf8").matchAll(/^ {2}"([^"]+)",$/gm);
  const examples = [...rows].map(
    ([, pattern = ""]) => [pattern, pattern.replace("**/", "a/b/").replace("/**", "/x/y.z")] as const,
  );
  return {
    ...{ name: "git-gate: protected paths", file, tests: [POLICY] },
    find: "export const PROTECTED_PATHS: readonly string[] = [",
    replace:
      "export const PROTECTED_PATHS: readonly string[] = [];\nexport const NONE: readonly string[] = [",
    killers: new Map(
      examples.map(([pattern, path]) => [`git-gate: protected: ${pattern}`, `protects "${path}"`]),
    ),
  };
}

export function gitGateMutants(root: string): readonly Mutant[] {
  const rules = { root, base: BASE, prefix: "git-gate: ", guarded: GUARDED, equivalent: EQUIVALENT };
  return [...guards(rules), ...SCAN, ...FORWARD, ...ANSWERS];
}

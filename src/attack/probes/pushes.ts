/** I4: git. The gate is the only remote, and every object of a push is looked at before any of it leaves. */
import { node, type Probe } from "../probe.ts";

/** A copy of its own of what the first of them cloned, in which `commit` and `push` do what they say. */
const CLONE = `import { mkdtempSync, writeFileSync, mkdirSync, appendFileSync, symlinkSync, cpSync, existsSync } from "node:fs"; import { dirname } from "node:path";
const clone = scratch + "/clone"; if (!existsSync(clone)) must("git", "clone", "-q", env.REMOTE, clone);
const folder = mkdtempSync(scratch + "/push-"); cpSync(clone, folder, { recursive: true }); process.chdir(folder);
const own = (name) => "refs/heads/bottle/" + env.ID + "/" + name + "-" + process.pid;
const commit = (file, content, message = "change") => { mkdirSync(dirname(file), { recursive: true }); writeFileSync(file, content); must("git", "add", "-A", "-f"); must("git", "commit", "-q", "--allow-empty", "-m", message); };
const push = (ref = own("x"), ...flags) => git("push", ...flags, "origin", "HEAD:" + ref);
`;
const SLOW = "a push is unpacked and searched, and git itself talks to the upstream";

function pushing(
  what: string,
  tries: string,
  text: string,
  refused: readonly string[],
  { isDirect }: { /** To nobody who would explain. */ readonly isDirect?: true } = {},
): Probe {
  return {
    id: `push-${what}`,
    invariant: isDirect ? "I1" : "I4",
    group: "pushes",
    tries,
    attack: [node(isDirect ? text : CLONE + text)],
    refused,
    control: "outside",
    ...(!isDirect && { explained: true as const, slow: SLOW }),
    timeoutMs: 40_000,
  };
}

/** Asks the gate, and not by git, which shows no more than a status of what is refused before it speaks its own protocol. */
function asking(what: string, tries: string, text: string, refused: readonly string[]): Probe {
  const { slow: _, ...probe } = pushing(what, tries, "", refused);
  return { ...probe, attack: [node(text)], control: [GATE_ASKED] };
}

/** Of the gate, for what it serves. */
export const GATE_ASKED = node("judgeAnswer(await gate())");

const SECRET = ["secret-found"] as const;

export const PUSHES: readonly Probe[] = [
  pushing(
    "file",
    "pushes a secret in a file",
    "commit('config.txt', 'key = ' + env.BOUND + '\\n'); push()",
    SECRET,
  ),
  pushing(
    "token",
    "pushes what looks like a forge's token",
    "commit('config.txt', 'token: ' + env.FOUND + '\\n'); push()",
    SECRET,
  ),
  pushing(
    "message",
    "pushes a secret in a commit's message",
    "commit('a', 'a', 'note ' + env.BOUND); push()",
    SECRET,
  ),
  pushing(
    "author",
    "pushes it as the author's name",
    "must('git', 'config', 'user.name', env.BOUND); commit('a', 'a'); push()",
    SECRET,
  ),
  pushing("file-name", "pushes it as a file's name", "commit('notes/' + env.BOUND, 'a'); push()", SECRET),
  pushing(
    "undone",
    "pushes a history that had it once",
    "commit('a', env.BOUND); commit('a', 'clean'); push()",
    SECRET,
  ),
  pushing(
    "encoded",
    "pushes it in base64 of hexadecimal",
    "commit('a', Buffer.from(Buffer.from(env.BOUND).toString('hex')).toString('base64')); push()",
    SECRET,
  ),
  pushing(
    "archive",
    "pushes it in an archive",
    "const { gzipSync } = await import('node:zlib'); commit('a.gz', gzipSync('key ' + env.BOUND)); push()",
    SECRET,
  ),
  pushing(
    "binary",
    "pushes it between bytes that make a file binary, with an attribute that hides it",
    "writeFileSync('.gitattributes', '*.bin -diff\\n'); commit('a.bin', Buffer.concat([Buffer.alloc(64), Buffer.from(env.BOUND), Buffer.alloc(64)])); push()",
    SECRET,
  ),
  pushing(
    "merge",
    "pushes it in a merge that neither parent has",
    "commit('a', 'a'); must('git', 'switch', '-q', '-c', 'side', 'HEAD~1'); commit('b', 'b'); must('git', 'merge', '-q', '--no-commit', '-'); writeFileSync('a', env.BOUND); must('git', 'add', '-A'); must('git', 'commit', '-q', '-m', 'merge'); push()",
    SECRET,
  ),
  pushing(
    "decoy",
    "pushes the decoy",
    "const { readFileSync } = await import('node:fs'); commit('a', readFileSync(process.env.HOME + '/.config/backup/credentials.json')); push()",
    [...SECRET, "canary-found"],
  ),
  pushing("ref-name", "names a branch so", "commit('a', 'a'); push(own(env.BOUND))", [...SECRET, "ref-name"]),
  pushing("main", "pushes to the main branch", "commit('a', 'a'); push('refs/heads/main')", [
    "ref-not-allowed",
  ]),
  pushing("tag", "pushes a tag", "commit('a', 'a'); push('refs/tags/v1')", ["ref-not-allowed"]),
  pushing(
    "notes",
    "pushes to references that servers act on",
    "commit('a', 'a'); push('refs/notes/commits')",
    ["ref-not-allowed"],
  ),
  pushing(
    "force",
    "rewrites what it has pushed",
    "commit('a', 'a'); must('git', 'push', '-q', 'origin', 'HEAD:' + own('forced')); must('git', 'commit', '-q', '--amend', '--allow-empty', '-m', 'another'); push(own('forced'), '--force')",
    ["force-not-allowed"],
  ),
  pushing(
    "delete",
    "deletes a branch",
    "commit('a', 'a'); must('git', 'push', '-q', 'origin', 'HEAD:' + own('doomed')); git('push', 'origin', ':' + own('doomed'))",
    ["delete-not-allowed"],
  ),
  pushing(
    "workflow",
    "pushes a workflow that the forge would run",
    "commit('.github/workflows/x.yml', 'on: push\\n'); push()",
    ["path-protected"],
  ),
  pushing(
    "submodule",
    "pushes a submodule whose URL runs a command",
    "must('git', 'config', '--file', '.gitmodules', 'submodule.x.path', 'x'); must('git', 'config', '--file', '.gitmodules', 'submodule.x.url', 'ext::sh -c id'); must('git', 'add', '.gitmodules'); must('git', 'commit', '-q', '-m', 'submodule'); push()",
    ["submodule-url", "pack-refused"],
  ),
  pushing(
    "filter",
    "pushes attributes that name a filter",
    "commit('.gitattributes', '* filter=evil\\n'); push()",
    ["attributes-filter"],
  ),
  pushing(
    "lfs",
    "pushes a pointer to a file that travels elsewhere",
    "commit('big.bin', 'version https://git-lfs.github.com/spec/v1\\noid sha256:' + 'a'.repeat(64) + '\\nsize 12345\\n'); push()",
    ["lfs-pointer"],
  ),
  asking(
    "other-repository",
    "asks the gate for a repository that is not its own",
    'judgeAnswer(await gate({ repository: "/elsewhere.git" }))',
    ["repo-unknown"],
  ),
  asking(
    "climb",
    "climbs in the gate's folders, by dots and slashes in whatever spelling",
    `for (const way of ["/elsewhere/..", "/elsewhere/%2e%2e", "/..", "/", "/elsewhere/..%2f", "/.", "/elsewhere%2f..%2f"]) { const { status } = await gate({ repository: way + "/app.git" }); if (status === 200) got(way); }
judgeAnswer(await gate({ repository: "/../../etc/app.git" }))`,
    ["not-git"],
  ),
  pushing(
    "directly",
    "pushes over git's own protocol and ssh to an upstream's address, past the gate",
    "await hear(env.LAN, env.GIT_PORT, env.SSH_PORT)",
    ["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL"],
    { isDirect: true },
  ),
];

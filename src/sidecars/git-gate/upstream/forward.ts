/**
 * Sends a judged push on, all of its refs or none, and only if upstream's refs are still what they were when it was
 * judged. Three ends, not two: where nobody can know whether upstream took it, the agent is told neither.
 */
import type { GitUpdate } from "../../../contract/git-gate.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Ended, Git, Place } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import { isZero } from "../policy/refs.ts";
import { failureOf, upstreamWords, wordsForLog } from "./failure.ts";
import { parseRemoteRefs } from "./refs.ts";
import type { Remote } from "./remote.ts";

export type Forwarded =
  | { readonly kind: "accepted"; readonly words: readonly string[] }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "unknown"; readonly reason: string };

export async function forward(
  git: Git,
  place: Place,
  remote: Remote,
  updates: readonly GitUpdate[],
  log: (text: string) => void,
): Promise<Forwarded> {
  const leases = updates.map(({ ref, old }) => `--force-with-lease=${ref}:${isZero(old) ? "" : old}`);
  const specs = updates.map(({ ref, new: next }) => `${isZero(next) ? "" : next}:${ref}`);
  const options = [
    "--porcelain",
    "--no-verify",
    "--no-follow-tags",
    "--no-signed",
    "--recurse-submodules=no",
  ];
  // One ref is atomic by itself, and not every server can do more.
  if (updates.length > 1) options.push("--atomic");
  const { url, args, env, credential } = remote;
  // The agent's git has looked for deltas already; what it found is reused.
  const push = [...args, "-c", "pack.window=0", "push", ...options, ...leases, "--", url, ...specs];
  const ended = await remote.talk(() =>
    git.run(place, push, {
      env,
      timeoutMs: LIMITS.forwardMs,
      ...(credential !== undefined && { credential }),
    }),
  );
  const words = upstreamWords(ended.stderr, remote);
  if (ended.code === 0) return { kind: "accepted", words };
  log(`upstream did not take a push: ${wordsForLog(ended, remote)}`);
  const outcome = outcomeOf(ended, ended.stdout.toString("utf8"), remote, words);
  return outcome.kind === "unknown" && (await arrived(git, remote, updates))
    ? { kind: "accepted", words }
    : outcome;
}

/** Said before anything was sent, or by a server that did not let it in. */
const NOTHING_SENT =
  /Could not read from remote repository|hung up upon initial contact|unable to access '|Authentication failed for|does not support --atomic|RPC failed; HTTP 4\d\d|not found$/m;

const STATUS_LINE = /^!\t\S*:(\S+)\t(\[[a-z ]+\])(?: \((.*)\))?$/gm;

function outcomeOf(ended: Ended, report: string, remote: Remote, words: readonly string[]): Forwarded {
  const lines = [...report.matchAll(STATUS_LINE)];
  const unsaid = lines.some(([, , kind]) => kind === "[remote failure]");
  if (ended.timedOut || unsaid)
    return { kind: "unknown", reason: "the upstream did not say whether it took the push" };
  if (lines.length > 0) {
    const reasons = lines.map(([, ref = "", , reason = ""]) => `${ref}: ${remote.scrub(reason)}`);
    const stale = lines.some(([, , , reason = ""]) =>
      /stale info|fetch first|non-fast-forward|already exists/.test(reason),
    );
    const refusal = stale
      ? refuse(
          "ref-moved",
          "the upstream has changed meanwhile; fetch, then push again",
          "the ref's old value",
          { words },
        )
      : refuse("upstream-refused", "the upstream did not take the push", "the upstream's own rules", {
          words: [...reasons, ...words],
        });
    return { kind: "refused", refusal };
  }
  if (NOTHING_SENT.test(ended.stderr)) return { kind: "refused", refusal: failureOf(ended, remote) };
  return { kind: "unknown", reason: "the talk with the upstream broke off" };
}

/** Whether upstream has all of it after all. No is no proof of the contrary: it may still be at it. */
async function arrived(git: Git, remote: Remote, updates: readonly GitUpdate[]): Promise<boolean> {
  const { url, args, env, credential } = remote;
  const ended = await git.run(undefined, [...args, "ls-remote", "--", url], {
    env,
    ...(credential !== undefined && { credential }),
  });
  if (ended.code !== 0) return false;
  const { refs } = parseRemoteRefs(ended.stdout.toString("utf8"), ["refs/"]);
  return updates.every(({ ref, new: next }) => (isZero(next) ? !refs.has(ref) : refs.get(ref) === next));
}

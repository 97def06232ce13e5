/**
 * What git's and ssh's own words mean, for an agent that must not read them: they hold hosts, paths and keys. Only
 * what stands here is told; the rest is "failed". The words are those of LC_ALL=C.
 */
import { printable } from "../../../lib/printable.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Ended } from "../git/run.ts";
import { LIMITS } from "../limits.ts";
import type { Remote } from "./remote.ts";

const MEANINGS: readonly (readonly [RegExp, () => Refusal])[] = [
  [
    /from proxy after CONNECT|CONNECT tunnel failed|Proxy CONNECT aborted|Could not resolve proxy/i,
    () =>
      refuse(
        "upstream-unreachable",
        "the operator's proxy does not let the gate through to the upstream",
        "egress.upstream_proxy",
      ),
  ],
  [
    /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|host key is known for/i,
    () =>
      refuse(
        "upstream-untrusted",
        "the upstream does not show the host key that is pinned for it",
        "host_key of the repository",
      ),
  ],
  [
    /certificate verif|SSL certificate problem|certificate subject name|SSL: no alternative certificate/i,
    () =>
      refuse(
        "upstream-untrusted",
        "the upstream's certificate is not one that the operator trusts",
        "the repository's CA",
      ),
  ],
  [
    /Permission denied|Authentication failed|could not read (?:Username|Password)|requested URL returned error: 40[13]|Too many authentication failures/i,
    () =>
      refuse(
        "upstream-denied",
        "the upstream does not accept the gate's credential for this",
        "key of the repository",
      ),
  ],
  [
    /Could not resolve host|Connection (?:refused|timed out|reset|closed)|Network is unreachable|No route to host|Failed to connect|Operation timed out|Couldn't connect|Connection to .{1,300} timed out/i,
    () => refuse("upstream-unreachable", "the upstream cannot be reached", "the upstream's host and port"),
  ],
  [
    /does not appear to be a git repository|repository .* (?:not found|does not exist)|requested URL returned error: 404|Repository not found|No such file or directory/i,
    () =>
      refuse(
        "upstream-failed",
        "the upstream has no such repository, or does not show it to the gate",
        "url of the repository",
      ),
  ],
];

/** Why a talk with upstream failed. */
export function failureOf(ended: Ended, remote: Remote): Refusal {
  const words = upstreamWords(ended.stderr, remote);
  if (ended.timedOut) {
    return refuse("upstream-unreachable", "the upstream did not answer in time", "time limit", { words });
  }
  const [, meaning] = MEANINGS.find(([pattern]) => pattern.test(ownWords(ended.stderr))) ?? [];
  const refusal = meaning?.() ?? refuse("upstream-failed", "the upstream could not be read", "upstream");
  return { ...refusal, words };
}

/** Lines that upstream itself wrote, which git marks. Somebody else's words, so without control characters. */
export function upstreamWords(stderr: string, remote: Remote): readonly string[] {
  return stderr
    .split(/[\r\n]+/)
    .filter((line) => line.startsWith("remote: "))
    .map((line) => remote.scrub(line.trimEnd()))
    .slice(0, LIMITS.wordsLines);
}

function ownWords(stderr: string): string {
  return stderr
    .split(/[\r\n]+/)
    .filter((line) => !line.startsWith("remote: "))
    .join("\n");
}

/** The words for the keeper's log: one line, bounded, scrubbed. */
export function wordsForLog(ended: Ended, remote: Remote): string {
  return printable(remote.scrub(ended.stderr.trim().slice(-LIMITS.wordsLength)), LIMITS.wordsLength);
}

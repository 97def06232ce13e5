/**
 * What each refusal of egress's and git-gate's means to an agent, and what it can do about it. test/unit/supervise
 * holds the list to be exactly that of their codes.
 */

/** What helps: asking for access, asking for an exception, or neither. */
export type Way =
  /** `request_access`, for the host or the refs. */
  | "access"
  /** `request_exception`, for the one subject. */
  | "exception"
  /** The request itself has to be another one. */
  | "change"
  /** It may be different in a while. */
  | "wait"
  /** Only the operator's own setup helps. */
  | "report";

export interface Explanation {
  readonly means: string;
  readonly way: Way;
}

const says = (way: Way, means: string): Explanation => ({ means, way });
const BOTH: Readonly<Record<string, Explanation>> = {
  "request-malformed": says("change", "That is not a proper request."),
  "bearer-required": says(
    "change",
    "The bottle's own credential for its sidecars is missing: use the configuration that the bottle came with.",
  ),
  "secret-found": says(
    "exception",
    "What looks like a secret, or is known to be one, would leave. Take it out; ask for an exception only if it is none. Nobody makes one for a value that the bottle was given.",
  ),
  overloaded: says("wait", "Too many requests are in progress: do less at once."),
  stopping: says("wait", "This part of the bottle is being stopped or replaced."),
  "upstream-unreachable": says("wait", "The other side cannot be reached."),
  "upstream-failed": says("wait", "The other side went away before it answered."),
  frozen: says("wait", "The bottle is frozen: nothing leaves it until the operator thaws it."),
  "grant-ended": says("access", "What was granted for a while is over, or used up."),
  "log-unavailable": says(
    "wait",
    "Nothing leaves that cannot be recorded, and the log cannot be written now.",
  ),
};

export const EGRESS_DENIALS: Readonly<Record<string, Explanation>> = {
  ...BOTH,
  // Egress: where to.
  "host-not-allowed": says("access", "No route of this bottle leads to that host."),
  "idn-not-named": says(
    "access",
    "A wildcard does not cover internationalised names: each is named in full.",
  ),
  "path-not-allowed": says("access", "The host is reachable, but no rule covers this path."),
  "method-not-allowed": says("access", "The path is allowed, but not with this method."),
  "header-not-allowed": says(
    "change",
    "A header that the route's rule asks for is missing, different or there twice: send it as the rule says.",
  ),
  "path-ambiguous": says(
    "change",
    "Servers differ on what this path means (//, ;, escapes like %2f): send it plainly.",
  ),
  "path-refused": says("change", "No route takes such a path: resolve dots, and encode what needs it."),
  "proxy-required": says("change", "This host is reached through the proxy alone: use HTTPS_PROXY."),
  "address-refused": says(
    "report",
    "The host leads to a private or reserved address, which only the operator's manifest can open.",
  ),
  // Egress: how.
  "override-refused": says(
    "change",
    "A header would replace the method or path that was judged: use the real method.",
  ),
  "method-refused": says("change", "This method is never forwarded: use another one."),
  "upgrade-refused": says(
    "change",
    "Only WebSocket upgrades are forwarded: use HTTP/1.1, or HTTP/2 over TLS.",
  ),
  "framing-refused": says("change", "The request's length is unclear: send one Content-Length, or chunks."),
  "git-push-refused": says(
    "change",
    "Pushes go through git-gate: push to the repository's usual remote, which leads there.",
  ),
  "placeholder-misused": says(
    "change",
    "A placeholder for a credential would be sent where none is put in its place: take it out of this request.",
  ),
  "plaintext-credential": says("change", "The route has a credential, which goes over TLS only: use https."),
  "host-invalid": says("change", "That is no plain host name."),
  "host-mismatch": says("change", "The Host header does not name the host of the request."),
  "sni-mismatch": says("change", "The TLS inside the tunnel names another host."),
  "ech-refused": says("change", "The TLS hides whom it is for: switch ECH off."),
  "not-tls": says("change", "What follows CONNECT to port 443 has to be TLS."),
  "port-refused": says("change", "Only the standard ports are forwarded: 443 for https, 80 for http."),
  "scheme-refused": says("change", "Only http and https are forwarded."),
  "https-in-plaintext": says("change", "An https URL was sent to the proxy unencrypted: use CONNECT."),
  "not-a-proxy-request": says(
    "change",
    "The client takes the proxy for a server: configure it to use a proxy.",
  ),
  "head-too-large": says("change", "Too many or too large headers: send less."),
  // What was found.
  "canary-found": says(
    "report",
    "The bottle's decoy credential would leave, which no honest task needs. Stop, and say what you were doing.",
  ),
  "encoding-refused": says(
    "change",
    "The body's coding cannot be looked into: send it plain, or in one that the refusal names.",
  ),
  "body-too-large": says("change", "The body unpacks to too much: send it plain, or less of it."),
  "answer-refused": says("report", "The answer tried to instruct you, so it was kept back. Do without it."),
  // How much, and whether now.
  "request-rate": says("wait", "The bottle's requests of this minute are used up."),
  "upload-rate": says("wait", "The bottle's upload of this minute is used up."),
  "download-rate": says("wait", "The bottle's download of this minute is used up."),
  "upload-too-large": says(
    "change",
    "The body alone is more than the bottle may send in a minute: send less.",
  ),
  "upstream-unresolvable": says("change", "The name has no address: check its spelling."),
  "upstream-tls": says("report", "The other side shows no certificate that is trusted here."),
  "upstream-protocol": says("report", "The other side does not answer properly."),
  "pipelock-blocked": says(
    "report",
    "The operator's pipelock found something in the request, or in its answer.",
  ),
  "upstream-proxy": says("report", "The operator's proxy refused, or did not answer properly."),
  "upstream-timeout": says("wait", "The other side did not answer in time."),
};

export const GIT_DENIALS: Readonly<Record<string, Explanation>> = {
  ...BOTH,
  "ref-not-allowed": says(
    "exception",
    "The ref is none of those that may be pushed to. Push to one that may, or ask for this one.",
  ),
  "force-not-allowed": says(
    "access",
    "It would lose commits that upstream has. Push to a new name, or ask with force.",
  ),
  "delete-not-allowed": says("access", "The ref may not be deleted. Leave it, or ask with delete."),
  "ref-name": says("change", "The ref's name has more than plain ASCII in it, or is too long: rename it."),
  "ref-clash": says("change", "The ref differs only in case from another one: rename it."),
  "ref-symbolic": says("change", "The ref stands for another one at the upstream: push to that one."),
  "ref-target": says("change", "The ref would point to no commit: push a commit, or a tag of one."),
  "ref-moved": says("change", "Upstream has changed meanwhile: fetch, merge or rebase, and push again."),
  "path-protected": says(
    "exception",
    "The push changes files that make another machine run something or decide who is asked. Leave them, or ask.",
  ),
  "path-not-allowed": says("exception", "The push changes paths outside of those that it may."),
  "attributes-filter": says("exception", ".gitattributes names a filter. Take it out, or ask."),
  "submodule-url": says(
    "exception",
    "A submodule's URL could run something or lead out. Use a plain one, or ask.",
  ),
  "lfs-pointer": says(
    "exception",
    "Files of Git LFS travel where nobody looks at them. Commit the file itself, or ask.",
  ),
  "lfs-refused": says(
    "change",
    "Files of Git LFS travel where nobody looks at them. Commit the file itself.",
  ),
  "archive-unreadable": says("exception", "An archive cannot be looked into. Commit its content, or ask."),
  "archive-too-large": says("change", "An archive unpacks to too much. Commit its content."),
  "file-too-large": says("change", "A file is larger than may be pushed."),
  "object-too-large": says("change", "A commit, tag or tree is too large."),
  "too-many-objects": says("change", "The push has too many objects: push less at once."),
  "too-many-files": says("change", "The push changes too many files: push less at once."),
  "pack-refused": says("change", "Git did not take the objects: run git fsck, and push from a full clone."),
  "push-malformed": says("change", "The push's list of refs is no honest one: push again."),
  "push-abandoned": says("wait", "The push was broken off: push again."),
  "inspection-failed": says(
    "wait",
    "The push could not be judged, and what is not judged is not sent: push again.",
  ),
  "review-refused": says("report", "The operator looked at the push and said no."),
  "review-unanswered": says("wait", "Nobody looked at the push yet: push again to ask again."),
  "upstream-refused": says("change", "Upstream's own rules refuse it, in its words above."),
  "upstream-untrusted": says("report", "Upstream does not show the key or certificate that is trusted here."),
  "host-key-unpinned": says(
    "report",
    "No host key is known for the upstream; only the operator can add one.",
  ),
  "upstream-denied": says("report", "Upstream does not take the operator's credential."),
  "repo-unknown": says("change", "No repository of this name is behind the gate: see list_capabilities."),
  "not-git": says("change", "That is not git's protocol: use git."),
  "dumb-http-refused": says("change", "The old form of git over HTTP is not spoken here: use a current git."),
  "request-too-large": says("change", "The request is too large."),
};

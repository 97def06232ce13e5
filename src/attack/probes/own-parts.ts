/** I1, I6, I10: the bottle's own parts. What a guest may speak to answers it as what it is, and to nobody's name but its own. */
import { node, type Otherwise, type Probe, perl, probesOf, sh } from "../probe.ts";
import { GATE_ASKED } from "./pushes.ts";

const part = probesOf("own-parts", "own");

const ABSENT = ["ENOENT", "ENOTDIR", "EACCES"] as const;
const NO_BEARER: Otherwise = {
  seen: ["got"],
  because: "the link is a socket inside of the guest's own network, where nobody else is to show a bearer",
};
/** A call that is let through, so that the other one's refusal is not silence. */
const ASKED = node("judgeAnswer(await mcp('list_capabilities', {}))");
/** In what was answered, and there in a text. */
const TICKET = String.raw`/\\?"ticket\\?": *\\?"([^"\\]+)/`;
function mcp(
  what: string,
  tries: string,
  call: string,
  refused: readonly string[],
  more: Partial<Probe> = {},
): Probe {
  return part(what, tries, [node(`judgeAnswer(await ${call})`)], refused, { control: [ASKED], ...more });
}

export const OWN_PARTS: readonly Probe[] = [
  part(
    "ports",
    "connects to every port of its loopback, looking for one that is not meant for it",
    [
      // A socket that was refused (111) is as good as a new one, which costs several times a connection. One that hears
      // nothing gives up, which counts: somebody keeps the refusal back.
      perl(`my %meant = map { $_ => 1 } split / /, $ENV{LINK_PORTS}; my (@open, $s);
for my $port (1 .. 65535) { next if $meant{$port}; for my $again (0, 1) {
  if (!$s || $again) { socket $s, 2, 1, 0 or cannot("socket: " . error_name()); setsockopt $s, 1, 21, pack("l! l!", 1, 500_000) }
  if (connect $s, pack("S n C4 x8", 2, $port, 127, 0, 0, 1)) { push @open, $port if getsockname $s ne getpeername $s; undef $s; last }
  last if $! == 111;
  push @open, "$port-silent" if $again && error_name() =~ /^(EINPROGRESS|EAGAIN|ETIMEDOUT)$/;
} }
@open ? got("open: @open[0 .. ($#open < 9 ? $#open : 9)]") : refused("none")`),
    ],
    ["none"],
    {
      slow: "there are 65,535 of them",
      timeoutMs: 120_000,
      otherwise: [
        {
          without: ["sharedKernel"],
          seen: ["got"],
          because: "a virtual machine has its own end of the link on its loopback, which wants a key",
        },
      ],
    },
  ),
  part(
    "control-socket",
    "connects to its keeper's control socket",
    [
      node(
        `import { connect } from "node:net"; const s = connect(env.CONTROL_SOCKET); s.on("connect", () => got("it is there")); s.on("error", (e) => refused(e.code));`,
      ),
    ],
    ABSENT,
    { invariant: "I6" },
  ),
  part(
    "neighbour-control",
    "connects to the control socket of the bottle beside it",
    [
      node(
        `import { connect } from "node:net"; const s = connect(env.NEIGHBOUR_SOCKET); s.on("connect", () => got("it is there")); s.on("error", (e) => refused(e.code));`,
      ),
    ],
    ABSENT,
    { invariant: "I6" },
  ),
  part(
    "control-token",
    "reads the word that its keeper wants to hear",
    [sh('try cat "$KEEPER_TOKEN"')],
    ABSENT,
    { invariant: "I6" },
  ),
  part(
    "sockets-listed",
    "finds the paths of the host's sockets in the kernel's list",
    [sh('grep -qF "$SIDE_ROOT" /proc/net/unix && got "they are there"; refused none')],
    ["none"],
  ),
  mcp(
    "mcp-bearer",
    "asks supervise without the bottle's bearer",
    "mcp('list_capabilities', {}, { authorization: undefined })",
    ["bearer-required"],
    { otherwise: [NO_BEARER] },
  ),
  mcp(
    "mcp-rebinding",
    "asks supervise under a name that was rebound to it, as a page in a browser would",
    "mcp('list_capabilities', {}, { host: 'rebound.test' })",
    ["host-mismatch"],
  ),
  mcp(
    "mcp-origin",
    "asks supervise from the page of another site",
    "mcp('list_capabilities', {}, { origin: 'https://evil.test' })",
    ["origin-refused"],
  ),
  mcp(
    "mcp-path",
    "asks supervise for something besides what it serves",
    "mcp('list_capabilities', {}, {}, '/admin')",
    ["not-found"],
  ),
  part(
    "mcp-approve",
    "answers its own request, by tools that it is shown and by such as it can think of",
    [
      // A tool that is none of these is not known to decide nothing.
      node(`const known = ["list_capabilities", "explain_denial", "request_access", "request_exception", "check_request", "withdraw_request"];
const shown = await mcpTools(); if (!known.every((tool) => shown.includes(tool))) cannot("it is shown " + shown.join());
const others = shown.filter((tool) => !known.includes(tool)); if (others.length > 0) got("there is " + others.join());
const asked = await mcp("request_access", { host: "answered.test", methods: ["GET"], paths: ["/"], justification: "an attack on it" });
const ticket = ${TICKET}.exec(asked.text)?.[1]; if (ticket === undefined) cannot(asked.text.slice(-200));
for (const tool of [...known, "approve_request", "approve", "grant", "decide", "set_policy", "thaw"]) { const answer = await mcp(tool, { ticket, decision: "approve" }); if (answer.status === 200 && /"result"/.test(answer.text) && !/"isError":true/.test(answer.text)) got(tool); }
curl("https://answered.test/")`),
    ],
    ["host-not-allowed"],
    { invariant: "I6", explained: true, control: [ASKED] },
  ),
  part(
    "ticket-of-another",
    "withdraws the request of the bottle beside it",
    [
      node(
        `import { writeFileSync } from "node:fs"; const answer = await mcp("request_access", { host: "wanted.example.com", methods: ["GET"], paths: ["/"], justification: "an attack on it" });
const ticket = ${TICKET}.exec(answer.text)?.[1]; if (ticket === undefined) cannot(answer.text.slice(-200)); got(ticket)`,
        "neighbour",
      ),
      sh(
        `ticket=$($BOTTLE inbox 2>/dev/null | awk '/wanted[.]example[.]com/{print $1; exit}'); [ -n "$ticket" ] || cannot no request waits
ticket=$($BOTTLE inbox show "$ticket" --json | grep -o '[0-9a-f]\\{32\\}' | head -1); $BOTTLE exec -T "$ID" -- sh -c "echo $ticket >/tmp/ticket" || cannot it cannot be told; got "$ticket"`,
        "host",
      ),
      node(`import { readFileSync } from "node:fs"; const answer = await mcp("withdraw_request", { ticket: readFileSync("/tmp/ticket", "utf8").trim() });
/no request with this ticket/i.test(answer.text) ? refused("unknown-ticket", { ms: answer.ms, words: answer.text.slice(-100) }) : /"isError":true/.test(answer.text) ? refused("refused", { words: answer.text.slice(-120) }) : got(answer.text.slice(-100))`),
    ],
    ["unknown-ticket"],
    {
      invariant: "I6",
      control: [
        node(
          `const asked = await mcp("request_access", { host: "wanted2.example.com", methods: ["GET"], paths: ["/"], justification: "an attack on it" });
const ticket = ${TICKET}.exec(asked.text)?.[1]; if (ticket === undefined) cannot(asked.text.slice(-200));
const answer = await mcp("withdraw_request", { ticket }); /"isError":true|no request/.test(answer.text) ? refused("refused", { words: answer.text.slice(-120) }) : got("its own was withdrawn")`,
          "neighbour",
        ),
      ],
    },
  ),
  part(
    "approval",
    "asks for a host, and uses it before anybody has answered",
    [
      node(
        `const answer = await mcp("request_access", { host: "early.test", methods: ["GET"], paths: ["/"], justification: "it is urgent" }); if (!/ticket/.test(answer.text)) cannot(answer.text.slice(-200)); curl("https://early.test/")`,
      ),
    ],
    ["host-not-allowed"],
    {
      invariant: "I6",
      explained: true,
      control: [
        node(
          `const answer = await mcp("request_access", { host: "later.test", methods: ["GET"], paths: ["/"], justification: "it is urgent" }); if (!/ticket/.test(answer.text)) cannot(answer.text.slice(-200)); got("asked")`,
        ),
        sh(
          `ticket=$($BOTTLE inbox 2>/dev/null | awk '/later.test/{print $1; exit}'); [ -n "$ticket" ] || cannot "no request waits: $($BOTTLE inbox 2>&1 | tail -3)"
digest=$($BOTTLE inbox show "$ticket" --json | sed -n 's/.*"digest": *"\\([^"]*\\)".*/\\1/p' | head -1)
words=$($BOTTLE inbox approve "$ticket" --yes --digest "$digest" 2>&1) || cannot "$words"; got approved`,
          "host",
        ),
        node(
          `import { spawnSync } from "node:child_process"; const { stdout } = spawnSync("curl", ["-sS", "-i", "--max-time", "10", "https://later.test/"], { encoding: "latin1" }); const code = /^x-bottle-denied: *([a-z-]+)/im.exec(stdout)?.[1]; stdout === "" ? cannot("nobody answered") : code === "host-not-allowed" ? refused(code) : got("it is no longer the list that keeps it: " + (code ?? stdout.slice(0, 60)))`,
        ),
      ],
    },
  ),
  part(
    "gate-bearer",
    "asks git-gate without the bottle's bearer",
    [node("judgeAnswer(await gate({ isBare: true }))")],
    ["bearer-required", "http-401"],
    { invariant: "I4", control: [GATE_ASKED] },
  ),
  part(
    "gate-dumb",
    "fetches the gate's files one by one, as the dumb protocol does",
    [node('judgeAnswer(await gate({ path: "/objects/info/packs" }))')],
    ["dumb-http-refused", "not-git"],
    { invariant: "I4", control: [GATE_ASKED] },
  ),
];

/**
 * Would `bottle attack` notice? Defences are switched off in a copy of the tree, which is built, and the probes that stand
 * for them have to fail. Those that have nothing to do with each other go together: a run of real bottles takes a while.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import * as z from "zod";
import { IMPOSTORS } from "../../src/attack/world/impostors.ts";
import type { Change, Workspace } from "./workspace.ts";

/** One defence, switched off. */
export interface Breach {
  readonly name: string;
  readonly changes: readonly Change[];
  /** Each of them has to fail. */
  readonly probes: readonly string[];
}

export interface BreachGroup {
  readonly name: string;
  readonly breaches: readonly Breach[];
  /** The bottles do not come up at all, and that is all there is to see. */
  readonly startFails?: true;
}

const EGRESS = "src/sidecars/egress";
const GATE = "src/sidecars/git-gate";

function breach(
  name: string,
  file: string,
  find: string,
  replace: string,
  probes: readonly string[],
): Breach {
  return { name, changes: [{ file, find, replace }], probes };
}

const SECRETS = [
  ...[
    "query",
    "path",
    "header",
    "header-name",
    "authorization",
    "cookie",
    "user-agent",
    "body",
    "json",
    "form-file",
  ],
  ...["file-name", "base64", "hex", "twice", "gzip", "chunks", "clear", "websocket", "bound-elsewhere"],
  ...["bound-elsewhere-header", "decoy", "decoy-encoded", "through-token-host"],
].map((what) => `exfiltrate-${what}`);

const SIDECARS: readonly Breach[] = [
  breach(
    "egress leads every host to the first one listed",
    `${EGRESS}/allow-list/allow-list.ts`,
    "const wildcard = coveringWildcard(policy, host);",
    'const wildcard = coveringWildcard(policy, host) ?? { routes: [...policy.exact.values()][0] as HostRoutes, covered: "" };',
    [
      ...[
        "denied-host",
        "denied-http",
        "denied-connect",
        "loopback",
        "mapped-address",
        "suffix",
        "subdomain",
      ].map((what) => `proxy-${what}`),
      "own-approval",
      "name-doh",
    ],
  ),
  breach(
    "SNI may differ",
    `${EGRESS}/accept/tunnel.ts`,
    "if (named === host ||",
    "if (host !== undefined ||",
    ["proxy-sni", "proxy-sealed-front"],
  ),
  breach(
    "Host may differ",
    `${EGRESS}/target/target.ts`,
    "if (other?.host !== host || (other.port ?? PORTS[scheme]) !== PORTS[scheme]) return mismatch(host);",
    "if (other === undefined && 0 === 1) return mismatch(host);",
    ["proxy-host-header", "proxy-two-hosts", "proxy-absolute-form", "proxy-http2-authority"],
  ),
  breach(
    "CONNECT leads to any port",
    `${EGRESS}/target/target.ts`,
    "if (port === PORTS.https) return allow",
    "if (port !== PORTS.http) return allow",
    ["proxy-port"],
  ),
  breach(
    "paths are not looked at",
    `${EGRESS}/rules/judge.ts`,
    "if (match.paths !== undefined && !match.paths.some",
    "if (match.paths?.length === -1 && !match.paths.some",
    ["proxy-path", "proxy-path-prefix", "proxy-path-encoded"],
  ),
  breach(
    "methods are not looked at",
    `${EGRESS}/rules/judge.ts`,
    "if (match.methods !== undefined && ",
    "if (match.methods !== undefined && 0 === 1 && ",
    ["proxy-method"],
  ),
  breach(
    "headers may name another method",
    `${EGRESS}/rules/judge.ts`,
    "if (head.overrides.length === 0) return undefined;",
    "if (head.overrides.length >= 0) return undefined;",
    ["proxy-method-override"],
  ),
  breach(
    "paths may climb",
    `${EGRESS}/target/target.ts`,
    "if (fault !== undefined)",
    "if (fault !== undefined && 0 === 1)",
    ["proxy-path-dots"],
  ),
  breach(
    "TRACE is passed on",
    `${EGRESS}/pipeline.ts`,
    "if (PASSED_ON.has(method)) return undefined;",
    "if (PASSED_ON.size > 0) return undefined;",
    ["proxy-trace"],
  ),
  breach(
    "any upgrade is passed on",
    `${EGRESS}/pipeline.ts`,
    'if (head.upgrade === "websocket" && method',
    "if (head.upgrade !== undefined || method",
    ["proxy-upgrade"],
  ),
  breach(
    "a token is sent in clear",
    `${EGRESS}/pipeline.ts`,
    "if (route.inject.length === 0 || isLoopback",
    "if (route.inject.length >= 0 || isLoopback",
    ["proxy-clear-credential"],
  ),
  breach(
    "pushes pass egress",
    `${EGRESS}/rules/git-push.ts`,
    "if (namesReceivePack(path) || speaksReceivePack(head)) return pushRefused();",
    'if (path !== "") return undefined;\n  if (namesReceivePack(path) || speaksReceivePack(head)) return pushRefused();',
    ["proxy-git-push"],
  ),
  breach(
    "private addresses are dialled",
    `${EGRESS}/address/resolve.ts`,
    "if (unfit !== undefined) {",
    "if (unfit !== undefined && 0 === 1) {",
    ["proxy-listed-metadata", "name-rebinding"],
  ),
  breach(
    "anything may be spoken in a tunnel",
    `${EGRESS}/accept/tunnel.ts`,
    'return refuse("not-tls",',
    'return refuse("request-malformed",',
    ["proxy-not-tls", "proxy-sealed-not-tls"],
  ),
  breach(
    "nothing that was found is refused",
    `${EGRESS}/inspection/ruling.ts`,
    "if (found.length === 0) return PASS;",
    "if (found.length >= 0) return PASS;",
    [...SECRETS, "operator-received"],
  ),
  breach(
    "answers are not searched for the token",
    `${EGRESS}/inspection/incoming.ts`,
    "this.#scrub = wantsBody ? scrubber?.open() : undefined;",
    "this.#scrub = wantsBody && 0 === 1 ? scrubber?.open() : undefined;",
    ["exfiltrate-echoed-credential"],
  ),
  breach(
    "any ref may be pushed to",
    `${GATE}/policy/refs.ts`,
    "if (matching.length === 0 && !excepted(ref)) {",
    "if (matching.length === -1 && !excepted(ref)) {",
    ["push-main", "push-tag", "push-notes"],
  ),
  breach(
    "refs may be deleted",
    `${GATE}/policy/refs.ts`,
    "if (isZero(next) && !matching.some((rule) => rule.delete)) {",
    "if (isZero(next) && matching.length === -1) {",
    ["push-delete"],
  ),
  breach(
    "history may be rewritten",
    `${GATE}/push/targets.ts`,
    "if (isZero(old)) return undefined;",
    "if (!isZero(next)) return undefined;",
    ["push-force"],
  ),
  breach(
    "no path is protected",
    `${GATE}/policy/paths.ts`,
    "if (guard !== undefined) {",
    "if (guard !== undefined && 0 === 1) {",
    ["push-workflow"],
  ),
  breach(
    "rules files may say anything",
    `${GATE}/scan/push-paths.ts`,
    "if (line === undefined || excepted(code, path)) continue;",
    "if (line !== null || excepted(code, path)) continue;",
    ["push-filter", "push-submodule"],
  ),
  breach(
    "pointers pass",
    `${GATE}/scan/push-objects.ts`,
    "if (paths.length === 0) return undefined;",
    "if (paths.length >= 0) return undefined;",
    ["push-lfs"],
  ),
  breach(
    "secrets may be pushed",
    `${GATE}/scan/findings.ts`,
    "return findings.length === 0 ? undefined : refusalOf(findings);",
    "return findings.length >= 0 ? undefined : refusalOf(findings);",
    [
      "file",
      "token",
      "message",
      "author",
      "file-name",
      "undone",
      "encoded",
      "archive",
      "binary",
      "merge",
      "decoy",
    ].map((what) => `push-${what}`),
  ),
  breach(
    "the gate answers anybody",
    `${GATE}/http/front.ts`,
    "if (!options.checkBearer(request.headers.authorization)) {",
    "if (!options.checkBearer(request.headers.authorization) && 0 === 1) {",
    ["own-gate-bearer"],
  ),
  breach(
    "the gate has another word for what it does not serve",
    `${GATE}/http/target.ts`,
    'return no(refuse("dumb-http-refused", "the gate shows',
    'return no(refuse("overloaded", "the gate shows',
    ["own-gate-dumb"],
  ),
  breach(
    "supervise goes by any name",
    "src/sidecars/supervise/http/admission.ts",
    "if (named !== 1 ||",
    "if (named < 0 && ",
    ["own-mcp-rebinding"],
  ),
  breach(
    "supervise answers other sites' pages",
    "src/sidecars/supervise/http/admission.ts",
    "if (origin !== undefined && (from",
    'if (origin === "" && (from',
    ["own-mcp-origin"],
  ),
  breach(
    "supervise answers everywhere",
    "src/sidecars/supervise/http/admission.ts",
    "if (request.url !== PATH) {",
    'if (request.url === "") {',
    ["own-mcp-path"],
  ),
];

const JAIL: readonly Breach[] = [
  breach("the filter of system calls refuses nothing", "src/jail/seccomp.ts", "    ...blocks(arch),\n", "", [
    ...[
      "clone3",
      "keyrings",
      "io-uring",
      "personality",
      "clock",
      "type-into-terminal",
      "paste-into-console",
      "handles",
    ].map((what) => `kernel-${what}`),
    "protocol-netlink-audit",
  ]),
  {
    name: "capabilities are kept, and may be gained",
    changes: [
      {
        file: "src/jail/setup-script.ts",
        find: "  setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all --",
        replace: "  setpriv --inh-caps=+sys_admin,+sys_chroot --ambient-caps=+sys_admin,+sys_chroot --",
      },
      {
        file: "src/backends/namespace/confinement.ts",
        find: "  const processes = [initPid, ...descendants(initPid)];",
        replace: "  const processes: number[] = [];\n  if (initPid > 0) return;\n  descendants(initPid);",
      },
      // bubblewrap takes away what perl does not.
      {
        file: "src/backends/namespace/probe.ts",
        find: '    { kind: "bubblewrap", path: programOnPath("bwrap", FOLDERS) },\n',
        replace: "",
      },
      {
        file: "src/jail/setup-script.ts",
        find: 'echo "$JAIL_USERNS" >/proc/sys/user/max_user_namespaces',
        replace: "echo 100 >/proc/sys/user/max_user_namespaces",
      },
    ],
    probes: [
      "kernel-capabilities",
      "kernel-user-namespace",
      "kernel-user-namespace-clone",
      "kernel-chroot",
      "kernel-mount-namespace",
      "kernel-network-namespace",
      "kernel-process-namespace",
    ],
  },
  breach(
    "the host's processes are shown",
    "src/jail/setup-script.ts",
    "mount -n -t proc -o nosuid,nodev,noexec proc proc\n",
    "mount -n --rbind /proc proc\n",
    ["kernel-see-processes"],
  ),
  {
    name: "the guest's network has somewhere to go",
    changes: [
      {
        file: "src/jail/setup-script.ts",
        find: "  ip link set lo up\n",
        replace: `  ip link set lo up\n  for a in ${Object.values(IMPOSTORS).join(" ")}; do ip addr add "$a" dev lo || :; done\n`,
      },
      {
        file: "src/keeper/launch.ts",
        find: "if (surprises.length === 0) return;",
        replace: "if (surprises.length >= 0) return;",
      },
    ],
    probes: [
      ...[
        ...[
          "public",
          "resolver-tls",
          "metadata",
          "container-metadata",
          "metadata-ipv6",
          "link-local",
          "lan-10",
          "lan-192",
        ],
        ...[
          "lan-172",
          "carrier",
          "gateway",
          "vm-gateway",
          "mapped-address",
          "ipv6-public",
          "udp",
          "git-daemon",
        ],
      ].map((what) => `address-${what}`),
      ...["push-directly", "protocol-quic"],
    ],
  },
  breach(
    "a name server is named",
    "src/backends/namespace/root-layout.ts",
    '"resolv.conf": "# There is no DNS in a bottle; names are resolved by its egress proxy.\\n"',
    '"resolv.conf": "nameserver 1.1.1.1\\n"',
    ["name-configured"],
  ),
  breach(
    "a folder of the host's is shown",
    "src/backends/namespace/root-layout.ts",
    "      ...terminalLibrary(),",
    '      ...terminalLibrary(),\n      { from: "/srv", to: "/srv" },',
    ["file-folders"],
  ),
  {
    name: "nothing is limited",
    changes: [
      {
        file: "src/backends/namespace/backend.ts",
        find: "const TMP_BYTES = 1024 ** 3;",
        replace: "const TMP_BYTES = 16 * 1024 ** 3;",
      },
      {
        file: "src/backends/namespace/limits.ts",
        find: "return rows.filter((row)",
        replace: "return rows.slice(rows.length).filter((row)",
      },
      {
        file: "src/jail/process-limit.ts",
        find: "return hard === undefined ? wanted :",
        replace: "return hard !== undefined || wanted > 0 ? Number(hard ?? 1_000_000) :",
      },
    ],
    probes: ["resource-processes", "resource-memory", "resource-shared-memory", "resource-temporary-files"],
  },
];

/** Whoever comes up to this is not let begin (I7). */
const NETWORK: readonly Breach[] = [
  breach(
    "the guest shares its host's network",
    "src/backends/namespace/backend.ts",
    'network: "own",',
    'network: "host",',
    ["address-lan-10"],
  ),
];

const OPERATOR: readonly Breach[] = [
  breach(
    "a repository's agents run in any bottle",
    "src/manifest/load.ts",
    'if (entry.source === "repository" && !bottle.repoAgents) {',
    'if (entry.source === "repository" && !bottle.repoAgents && 0 === 1) {',
    ["operator-smuggled-agent"],
  ),
  breach(
    "less isolation than asked for is taken",
    "src/backends/registry.ts",
    "if (minimum !== undefined && strength(best.availability.isolation)",
    "if (minimum !== undefined && 0 === 1 && strength(best.availability.isolation)",
    ["operator-weaker"],
  ),
  breach(
    "isolation is looked at, and not told",
    "src/keeper/launch.ts",
    'await log.append("bottle.verified", {',
    'await log.append("bottle.looked-at", {',
    ["operator-verified"],
  ),
  breach(
    "a log that was changed passes for a whole one",
    "src/cli/commands/audit-verify.ts",
    "broken: 1,",
    "broken: 0,",
    ["operator-log-verifies"],
  ),
  breach(
    "a denial does not say by which rule",
    `${EGRESS}/denial.ts`,
    "      rule: refusal.rule,\n",
    '      rule: "",\n',
    ["proxy-denied-http", "exfiltrate-body"],
  ),
  breach(
    "supervise takes its time to refuse",
    "src/sidecars/supervise/http/front.ts",
    "options.onRefused(refusal.code);\n      answer(request, response, refusal);",
    "setTimeout(() => answer(request, response, refusal), 1_500);",
    ["own-mcp-path"],
  ),
  breach(
    "set-id bits are copied out",
    "src/lib/archive/extract-tar.ts",
    "(policy.modeMask ?? DEFAULT_MODE_MASK) & 0o777;",
    "(policy.modeMask ?? DEFAULT_MODE_MASK) | 0o7777;",
    ["file-copied-set-id"],
  ),
  breach(
    "links are copied out wherever they lead",
    "src/lib/archive/extract-tar.ts",
    "return reasonAgainstLink(path, entry.target);",
    "return undefined;",
    ["file-copied-link"],
  ),
  breach(
    "groups of processes are left",
    "src/backends/namespace/limits.ts",
    "export async function removeGroup(group: string): Promise<void> {",
    'export async function removeGroup(group: string): Promise<void> {\n  if (group !== "") return;',
    ["left-groups"],
  ),
];

export const BREACHES: readonly BreachGroup[] = [
  { name: "sidecars", breaches: SIDECARS },
  { name: "jail", breaches: JAIL },
  { name: "network", breaches: NETWORK, startFails: true },
  { name: "operator", breaches: OPERATOR },
];

const reportSchema = z.object({
  reports: z.array(
    z.object({
      problems: z.array(z.string()),
      results: z.array(z.object({ id: z.string(), outcome: z.string(), held: z.boolean() })),
    }),
  ),
});

/** Builds the copy as it is now, and runs `probes` in bottles of it. @returns outcomes by id, or why there are none. */
export async function attackIn(
  workspace: Workspace,
  probes: readonly string[],
): Promise<ReadonlyMap<string, string> | string> {
  const built = await said(workspace, [join(workspace.root, "scripts/build.mjs")]);
  if (built.code !== 0) return `it cannot be built: ${built.text.slice(-500)}`;
  const only = probes.flatMap((id) => ["--only", id]);
  const { text } = await said(workspace, [
    join(workspace.root, "dist/bottle.js"),
    "attack",
    "--backend",
    "namespace",
    "--json",
    ...only,
  ]);
  const start = text.indexOf("{");
  if (start < 0) return `it said nothing: ${text.slice(-500)}`;
  const [report] = reportSchema.parse(JSON.parse(text.slice(start))).reports;
  if (report === undefined || report.results.length === 0)
    return report?.problems.join("; ") ?? "there is no report";
  return new Map(report.results.map(({ id, outcome, held }) => [id, held ? "" : outcome]));
}

function said(
  workspace: Workspace,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: workspace.root, stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString("utf8");
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString("utf8");
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, text: stdout === "" ? stderr : stdout }));
  });
}

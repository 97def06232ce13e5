import { describe, expect, it } from "vitest";
import { parseObject } from "../../../src/manifest/object-file.ts";
import { describeProblem } from "../../../src/manifest/problem.ts";

/** What it says in binary as well: that is checked. */
const HOST_KEY = `ssh-ed25519 ${Buffer.from("\0\0\0\x0bssh-ed25519\0\0\0 ".padEnd(51, "k"), "latin1").toString("base64")}`;

/** The problems of a bottle, without its file's name. */
function problemsOf(yaml: string): string[] {
  return parseObject("bottle", "b.md", `---\n${yaml}\n---\n`).problems.map(describeProblem);
}

function bottleOf(yaml: string) {
  const file = parseObject("bottle", "b.md", `---\n${yaml}\n---\n`);
  expect(file.problems).toEqual([]);
  return file.value;
}

describe("a bottle's keys", () => {
  it("accepts every key there is, in the spelling of June 2026 and in ours", () => {
    const value = bottleOf(`
extends: [base, node]
env:
  A: plain
  B: "?what is B"
  C: "\${HOST_C}"
  D: {value: "$5 ?", to: [api.example.com]}
  E: {from: HOST_E}
  F: {ask: what is F}
egress:
  routes:
    - host: api.example.com
      matches:
        - paths: [{type: prefix, value: /v1}, {type: exact, value: /health}, {type: regex, value: "/x[0-9]+"}]
          methods: [get, POST]
          headers: [{name: X-Kind, value: a}, {name: Accept, type: regex, value: "text/.*"}]
      auth: {scheme: Bearer, token_ref: API_TOKEN}
      dlp: {outbound_detectors: [token_patterns, known_secrets], inbound_detectors: false, outbound_on_match: redact}
      allow_addresses: [10.0.0.0/8, "fd00::1"]
      connect_to: 127.0.0.1:8443
    - {host: pinned.example.com, tls: passthrough}
  rules: [{id: ticket, pattern: "SEC-[0-9]{6}"}]
  log: 1
  presets: [github-read, npm]
  limits: {header_size: 64K, connections: 10, requests: 5, idle_seconds: 60, tunnel_idle_seconds: 90, requests_per_minute: 100, upload_per_minute: 10M, download_per_minute: 1G}
  upstream_ca: [~/ca.pem]
  upstream_proxy: {url: "http://proxy.example.com:3128", token_ref: PROXY_LOGIN}
  pipelock: true
git-gate:
  user: {name: A, email: a@example.com}
  repos:
    project:
      url: ssh://git@example.com/project.git
      key: {provider: static, path: ~/.ssh/id}
      host_key: ${HOST_KEY}
      refs: ["refs/heads/bottle/{id}/*", {ref: refs/tags/v*, force: true, delete: true}]
      paths: {only: [src/**], unprotect: [.github/workflows/**]}
      limits: {push: 100M, file: 64K, objects: 1000, files: 50}
      review: true
    agents: {url: "git@example.com:team/agents.git", key: agent, host_key: [${HOST_KEY}]}
    one: {url: "ssh://git@example.com/one.git", key: {provider: agent, public_key: ${HOST_KEY} me@here}}
    file: {url: "ssh://git@example.com/file.git", key: ~/.ssh/id}
    web: {url: "https://example.com/web.git", key: {provider: token, token_ref: T, username: me}, upstream_ca: [~/ca.pem]}
    forge: {url: "ssh://git@example.com/a/b.git", key: {provider: gitea, url: "https://example.com/git", token_ref: FORGE}}
    here: {url: ~/repos/here.git}
    other: {url: "ssh://git@example.com/other.git", key: {provider: gitea, forge_token_env: FORGE}}
supervise: true
agent_provider: {template: claude, dockerfile: ~/Dockerfile, auth_token: T, forward_host_credentials: true}
image: debian:12
resources: {cpus: 1.5, memory: 2G, disk: 20GiB}
isolation: container
backend: docker
workspace: [{from: ~/data, to: /home/node/data}]
mounts: [{from: /srv/models/, to: /mnt/models}]
repo_agents: true`);
    expect(value?.env?.["D"]).toEqual({
      source: { kind: "literal", value: "$5 ?" },
      to: ["api.example.com"],
    });
    expect(value?.egress?.routes?.[0]).toEqual({
      host: "api.example.com",
      matches: [
        {
          paths: [
            { type: "prefix", value: "/v1" },
            { type: "exact", value: "/health" },
            { type: "regex", value: "/x[0-9]+" },
          ],
          methods: ["GET", "POST"],
          headers: [
            { name: "x-kind", type: "exact", value: "a" },
            { name: "accept", type: "regex", value: "text/.*" },
          ],
        },
      ],
      auth: { header: "authorization", format: "Bearer {}", tokenRef: "API_TOKEN" },
      credentialHeaders: ["authorization"],
      tls: "terminate",
      allowAddresses: ["10.0.0.0/8", "fd00::1/128"],
      connectTo: { host: "127.0.0.1", port: 8443 },
      inspection: { patterns: true, budget: false, onMatch: "redact", phrases: "off" },
    });
    expect(value?.egress?.rules).toEqual([{ id: "ticket", pattern: "SEC-[0-9]{6}" }]);
    expect(value?.mounts).toEqual([{ from: "/srv/models", to: "/mnt/models" }]);
    expect(value?.resources).toEqual({ cpus: 1.5, memory: 2 * 2 ** 30, disk: 20 * 2 ** 30 });
  });

  it("tells every problem of a file at once, each with its place, its key and what was meant", () => {
    expect(
      problemsOf(
        [
          "egres: {}", // line 2
          "supervise: yes please",
          "egress:",
          "  routes:",
          "    - hosst: a.example.com",
          "      matches:",
          "        - methods: GET",
          "    - host: https://b.example.com",
          "      auth: {scheme: bearer}",
          "isolation: vmm",
          "resources: {memory: 512}",
          "env:",
          "  PORT: 8080",
          "  HTTPS_PROXY: x",
        ].join("\n"),
      ),
    ).toEqual([
      'b.md:2:1: egres: is not a key here, did you mean "egress"?',
      "b.md:3:12: supervise: must be true or false or a map, not text",
      "b.md:6:7: egress.routes[0].host: is missing",
      'b.md:6:7: egress.routes[0].hosst: is not a key here, did you mean "host"?',
      "b.md:8:20: egress.routes[0].matches[0].methods: must be a list, not text",
      "b.md:9:13: egress.routes[1].host: must be a host alone, without a scheme such as https://",
      "b.md:10:7: egress.routes[1].auth.token_ref: is missing",
      'b.md:10:22: egress.routes[1].auth.scheme: must be one of Bearer, token, Basic, header:<Name>, did you mean "Bearer"?',
      'b.md:11:12: isolation: must be one of namespace, container, gvisor, vm, not "vmm", did you mean "vm"?',
      "b.md:12:21: resources.memory: must be text, not a number; put it in quotes",
      "b.md:14:9: env.PORT: must be text or a map, not a number; put it in quotes",
      "b.md:15:3: env.HTTPS_PROXY: cannot be set here: the bottle sets it: it leads to egress, the only way out",
    ]);
  });

  it.each([
    ["tokens: {}", "b.md:2:1: tokens: is no longer a key: write egress.routes:"],
    ["cred_proxy: {}", "b.md:2:1: cred_proxy: is no longer a key: write egress.routes:"],
    ["egress_proxy: {}", "b.md:2:1: egress_proxy: is no longer a key: write egress:"],
    ["egress: {allowlist: [a.b]}", "b.md:2:10: egress.allowlist: is no longer a key: write egress.routes:"],
    ["egress: {dlp_action: warn}", "b.md:2:10: egress.dlp_action: is no longer a key: write dlp:"],
    ["ssh: []", "b.md:2:1: ssh: is no longer a key: write git-gate.repos:"],
    ["runtime: runsc", "b.md:2:1: runtime: is no longer a key: backend names"],
    ["git: [{Name: x}]", "b.md:2:1: git: is no longer a key: write git-gate:"],
    ["git_user: {name: x}", "b.md:2:1: git_user: is no longer a key: write git-gate: {user:"],
    ["git-gate: {remotes: {}}", "b.md:2:12: git-gate.remotes: is no longer a key: write git-gate.repos:"],
    [
      "git-gate: {repos: {p: {identity: ~/.ssh/id}}}",
      "b.md:2:24: git-gate.repos.p.identity: is no longer a key: write key:",
    ],
    [
      "egress: {routes: [{host: a.b, path_allowlist: [/x]}]}",
      "b.md:2:31: egress.routes[0].path_allowlist: is no longer a key: write matches:",
    ],
    [
      "egress: {routes: [{host: a.b, role: claude_code_oauth}]}",
      "b.md:2:31: egress.routes[0].role: is no longer a key: a provider brings its own routes",
    ],
    [
      "egress: {routes: [{host: a.b, pipelock: {tls_passthrough: true}}]}",
      "b.md:2:31: egress.routes[0].pipelock: is no longer a key: tls_passthrough is now tls: passthrough",
    ],
  ])("says what to write instead of the older %s", (yaml, expected) => {
    const problems = problemsOf(yaml);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
  });

  it.each([
    ["skills: [x]", "b.md:2:1: skills: is a key of an agent, not of a bottle: move it there"],
    ["egress:", "b.md:2:8: egress: must be a map, not nothing; fill it in, or take the key out"],
    ["extends: []", "b.md:2:10: extends: is empty: leave it out, or name a bottle"],
    [
      "extends: ../x",
      "b.md:2:10: extends: must be a name: letters, digits, dash, underscore and single dots, at most 63, no slash",
    ],
    ["extends: 5", "b.md:2:10: extends: must be text or a list, not a number; put it in quotes"],
    ["egress: {limits: {header_size: 2M}}", "b.md:2:32: egress.limits.header_size: is too large: at most 1M"],
    ["egress: {limits: {connections: 0}}", "b.md:2:32: egress.limits.connections: must be at least 1"],
    [
      "egress: {limits: {idle_seconds: 1.5}}",
      "b.md:2:33: egress.limits.idle_seconds: must be a whole number",
    ],
    [
      "egress: {limits: {upload_per_minute: 10}}",
      "b.md:2:38: egress.limits.upload_per_minute: must be text, not a number; put it in quotes",
    ],
    ["egress: {log: 3}", "b.md:2:15: egress.log: must be one of 0, 1, 2, not 3"],
    [
      "egress: {upstream_ca: [ca.pem]}",
      "b.md:2:24: egress.upstream_ca[0]: must be an absolute path, or begin with ~/",
    ],
    [
      "egress: {upstream_proxy: 'http://u:p@x:1'}",
      "b.md:2:26: egress.upstream_proxy: must not hold a credential: write {url, token_ref}, and keep it in your environment",
    ],
    ["git-gate: {user: {}}", "b.md:2:18: git-gate.user: is empty: give name, email or both"],
    ["git-gate: {user: {name: 'x\\ny'}}", undefined],
    [
      'git-gate: {user: {name: "x\\n[core]"}}',
      "b.md:2:25: git-gate.user.name: must be one line, without control characters",
    ],
    ["git-gate: {user: {email: '<a@b>'}}", "b.md:2:26: git-gate.user.email: must not contain < or >"],
    [
      "git-gate: {repos: {p: {key: {provider: gitlab, path: /x}}}}",
      'b.md:2:40: git-gate.repos.p.key.provider: must be one of static, agent, token, gitea, not "gitlab", did you mean "gitea"?',
    ],
    [
      "agent_provider: {template: claud}",
      'b.md:2:28: agent_provider.template: must be one of claude, codex, gemini, opencode, pi, command, not "claud", did you mean "claude"?',
    ],
    [
      "agent_provider: {template: command}",
      "b.md:2:17: agent_provider: with template: command, name the program: command: [program, argument, …]",
    ],
    ["agent_provider: {command: [x]}", "b.md:2:27: agent_provider.command: is only for template: command"],
    [
      "agent_provider: {template: command, command: make}",
      "b.md:2:46: agent_provider.command: must be a list, not text",
    ],
    [
      "agent_provider: {template: command, command: ['']}",
      "b.md:2:46: agent_provider.command: begins with an empty text: name the program",
    ],
    ["resources: {memory: 2}", "b.md:2:21: resources.memory: must be text, not a number; put it in quotes"],
    [
      "resources: {memory: 2X}",
      "b.md:2:21: resources.memory: must be a size with its unit, such as 512M or 2G",
    ],
    ["resources: {memory: 2K}", "b.md:2:21: resources.memory: is too small: at least 64M"],
    ["resources: {memory: 900T}", "b.md:2:21: resources.memory: is too large: at most 64T"],
    ["resources: {cpus: 0}", "b.md:2:19: resources.cpus: must be at least 0.1"],
    ["resources: {cpus: .inf}", "b.md:2:19: resources.cpus: must be a number, not infinity"],
    [
      "mounts: [{from: data, to: /mnt/x}]",
      "b.md:2:17: mounts[0].from: must be an absolute path, or begin with ~/",
    ],
    ["mounts: [{from: /srv, to: x}]", "b.md:2:27: mounts[0].to: must be an absolute path"],
    ["mounts: [{from: /srv/../etc, to: /mnt/x}]", "b.md:2:17: mounts[0].from: must not contain .."],
    [
      "mounts: [{from: /, to: /mnt/x}]",
      "b.md:2:17: mounts[0].from: would show the host itself to the guest: name a folder or file of yours",
    ],
    [
      "mounts: [{from: /a, to: /m}, {from: /b, to: /m/}]",
      "b.md:2:45: mounts[1].to: is the place of another mount already",
    ],
  ])("reads %s and says %s", (yaml, expected) => {
    expect(problemsOf(yaml)).toEqual(expected === undefined ? [] : [expected]);
  });

  it.each(["/", "/etc/passwd", "/usr", "/proc/x", "/home", "/home/node", "/home/node/workspace/x", "/tmp/x"])(
    "refuses a mount at %s: the bottle fills that place itself",
    (to) => {
      expect(problemsOf(`mounts: [{from: /srv, to: ${to}}]`)).toEqual([
        expect.stringContaining("is a place that the bottle fills itself"),
      ]);
    },
  );

  it("does not show what stands where a host should: it may be a password", () => {
    const [problem] = problemsOf("egress: {routes: [{host: 'https://me:hunter2@example.com'}]}");
    expect(problem).toBe("b.md:2:26: egress.routes[0].host: must be a host alone, without user information");
  });
});

describe("routes", () => {
  const route = (text: string): string[] => problemsOf(`egress: {routes: [${text}]}`);

  it("refuses a second route for a host, whatever its spelling", () => {
    expect(route("{host: a.example.com}, {host: b.example.com}, {host: A.example.com, matches: []}")).toEqual(
      [
        "b.md:2:72: egress.routes[2].host: a route for a.example.com is there already: put the matches of both into one route",
        "b.md:2:96: egress.routes[2].matches: is empty, which would say nothing: leave it out",
      ],
    );
  });

  it("I3: lets only a host without wildcard, credential and rules pass uninspected", () => {
    expect(
      route(
        "{host: '*.example.com', tls: passthrough, auth: {scheme: token, token_ref: T}, matches: [{methods: [GET]}]}",
      ),
    ).toEqual([
      "b.md:2:48: egress.routes[0].tls: passthrough exempts a host from inspection by its name: it cannot go with a wildcard",
      "b.md:2:67: egress.routes[0].auth: needs the connection opened, which tls: passthrough forbids",
      "b.md:2:107: egress.routes[0].matches: needs the connection opened, which tls: passthrough forbids",
    ]);
  });

  it("refuses a rule that is empty: it would allow everything", () => {
    expect(route("{host: a.b, matches: [{}]}")).toEqual([
      "b.md:2:41: egress.routes[0].matches[0]: is empty and would allow every request: name paths, methods or headers, or drop matches",
    ]);
  });

  it.each([
    ["v1", "must begin with /"],
    ["/a/../b", "must not have . or .. as a segment"],
    ["/a%2E%2e", "encodes a separator, or what needs no encoding"],
    ["/a/%2E%2e/b", "must not have . or .. as a segment"],
    ["/a/.;x/b", "must not have . or .. as a segment"],
    ["/a%zz", "has a % that is not followed by two hexadecimal digits"],
    ["/a%00", "must not encode a NUL character"],
    ["/a?b=c", "must be a path alone"],
    ["/a#b", "must be a path alone"],
    ["/a\\\\b", "must not contain a backslash"],
    ["/ä", "must be printable ASCII"],
    ["/a//b", "must not contain //"],
    ["/a;b", "must not contain a semicolon"],
    ["/a%2fb", "encodes a separator, or what needs no encoding"],
    ["/%41dmin", "encodes a separator, or what needs no encoding"],
    ["/%c0%ae", "encodes what is no UTF-8"],
  ])("refuses the prefix %s: no request that egress lets through could meet it", (value, reason) => {
    expect(route(`{host: a.b, matches: [{paths: [{type: prefix, value: "${value}"}]}]}`)[0]).toContain(
      `egress.routes[0].matches[0].paths[0].value: ${reason}`,
    );
  });

  it.each(["/projects/group%2fproject", "/a;v=1", "/a//b", "/caf%C3%A9"])(
    "may name exactly the path %s",
    (value) => {
      expect(route(`{host: a.b, matches: [{paths: [{type: exact, value: "${value}"}]}]}`)).toEqual([]);
    },
  );

  it("refuses a rule on a header that is removed before rules are asked", () => {
    expect(
      route(
        "{host: a.b, auth: {scheme: 'header:X-Key', token_ref: T}, matches: [{headers: [{name: x_key, value: a}]}]}",
      ),
    ).toEqual([
      "b.md:2:105: egress.routes[0].matches[0].headers[0].name: is the header of auth: it is removed from what the agent sends, so no rule sees it",
    ]);
    expect(route("{host: a.b, matches: [{headers: [{name: Transfer_Encoding, value: a}]}]}")[0]).toContain(
      "transfer_encoding is between client and proxy",
    );
  });

  it.each([
    ["(a", "is not a regular expression (RE2 syntax)"],
    ["(a)\\\\1", "is not a regular expression (RE2 syntax)"],
    ["(?=a)", "is not a regular expression (RE2 syntax)"],
    ["(a{100}){100}", "is not a regular expression (RE2 syntax)"],
    ["a".repeat(600), "is longer than 512 characters"],
  ])("refuses the pattern %s", (value, reason) => {
    expect(route(`{host: a.b, matches: [{paths: [{type: regex, value: "${value}"}]}]}`)[0]).toContain(reason);
    expect(
      route(`{host: a.b, matches: [{headers: [{name: x, type: regex, value: "${value}"}]}]}`)[0],
    ).toContain(reason);
  });

  it.each([
    ["Bearer", { header: "authorization", format: "Bearer {}" }],
    ["token", { header: "authorization", format: "token {}" }],
    ["Basic", { header: "authorization", format: "Basic {base64}" }],
    ["header:X-Api-Key", { header: "x-api-key", format: "{}" }],
  ])("presents a credential as %s", (scheme, expected) => {
    const value = bottleOf(`egress: {routes: [{host: a.b, auth: {scheme: "${scheme}", token_ref: T}}]}`);
    expect(value?.egress?.routes?.[0]?.auth).toEqual({ ...expected, tokenRef: "T" });
    expect(value?.egress?.routes?.[0]?.credentialHeaders).toEqual([expected.header]);
  });

  it.each([
    "header:",
    "header:a b",
    "header:Host",
    "header:Content-Length",
    "header:Proxy-Authorization",
    "Digest",
  ])("presents no credential as %s", (scheme) => {
    expect(route(`{host: a.b, auth: {scheme: "${scheme}", token_ref: T}}`)).toHaveLength(1);
  });

  it.each([
    ["methods: [CONNECT]", "CONNECT is how a proxy is asked"],
    ["methods: ['G T']", "must be a method"],
    ["methods: []", "is empty"],
    ["headers: [{name: 'a b', value: x}]", "must be the name of a header"],
    ['headers: [{name: a, value: "x\\r\\ny"}]', "must be one line"],
  ])("refuses the rule %s", (rule, reason) => {
    expect(route(`{host: a.b, matches: [{${rule}}]}`)[0]).toContain(reason);
  });

  it.each(["10.0.0.0/0", "::/0", "10.0.0.0/33", "localhost/8", "1.2.3.4/", "10/8", "1.2.3.4/8/8"])(
    "refuses the address range %s",
    (range) => {
      expect(route(`{host: a.b, allow_addresses: ["${range}"]}`)).toHaveLength(1);
    },
  );

  it.each(["host", "host:0", "host:65536", "::1:443", "https://host:443", "a@b:1", "[::1]"])(
    "refuses to connect to %s",
    (target) => {
      expect(route(`{host: a.b, connect_to: "${target}"}`)).toHaveLength(1);
    },
  );
});

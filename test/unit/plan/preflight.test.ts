import { describe, expect, it } from "vitest";
import type { Availability } from "../../../src/contract/backend.ts";
import type { BottlePlan, PlannedUserConfig } from "../../../src/contract/plan.ts";
import { describePlan, type PreflightView } from "../../../src/plan/preflight.ts";
import { preflightSections } from "../../../src/plan/preflight-text.ts";

const USABLE: Availability = {
  usable: true,
  isolation: "namespace",
  strength: "Linux namespaces, shared kernel",
  lacks: [{ what: "seccomp", remedy: "apt-get install bubblewrap" }],
};

const PLAN: BottlePlan = {
  agent: {
    name: "dev",
    source: "repository",
    file: "/r/dev.md",
    contentHash: "ab12",
    prompt: "\n  First line.\nSecond line.",
  },
  bottle: { name: "b", files: ["/h/base.md", "/h/b.md"] },
  label: "try",
  provider: { name: "claude", argv: ["claude", "x"], env: { PLACEHOLDER: "placeholder-value" }, files: [] },
  task: "Fix it\nnow",
  env: [
    { name: "PLAIN", source: { kind: "literal", value: "literal-value" } },
    { name: "ASKED", source: { kind: "prompt", text: "Your word" } },
    { name: "COPIED", source: { kind: "host", variable: "HOST_VAR" } },
    { name: "ABSENT", source: { kind: "host", variable: "NO_SUCH" } },
  ],
  skills: [{ name: "review", path: "/s/review" }],
  credentials: [
    { tokenRef: "HAVE", holder: "egress", hosts: ["a.example"] },
    { tokenRef: "LACK", holder: "egress", hosts: ["b.example"], howToGet: "run b login" },
  ],
  routes: [
    {
      host: "a.example",
      matches: [
        { methods: ["GET", "HEAD"] },
        {
          methods: ["POST"],
          paths: [
            { type: "prefix", value: "/v1" },
            { type: "exact", value: "/x" },
            { type: "regex", value: "/y[0-9]" },
          ],
          headers: [{ name: "x-key", type: "exact", value: "header-value" }],
        },
      ],
      auth: { header: "authorization", format: "Bearer {}", tokenRef: "HAVE" },
      credentialHeaders: ["authorization"],
      tls: "terminate",
      allowAddresses: ["10.0.0.0/8"],
      connectTo: { host: "::1", port: 8443 },
    },
    { host: "p.example", matches: [], credentialHeaders: [], tls: "passthrough", allowAddresses: [] },
  ],
  rules: [],
  upstreamCa: ["/ca.pem"],
  git: { name: "Dev", email: "dev@example.com" },
  workspaceFrom: "/work",
  mounts: [{ from: "/d", to: "/mnt/d" }],
  resources: { cpus: 2, memoryBytes: 1.5 * 2 ** 30, pids: 4096 },
  isolation: "vm",
  backend: "namespace",
};

const availableEnv = (name: string): boolean => name === "HAVE" || name === "HOST_VAR";
const view = (plan: BottlePlan = PLAN, availability = USABLE): PreflightView =>
  describePlan(plan, { availability, availableEnv, warnings: ["careful"] });
const textOf = (shown: PreflightView): string =>
  preflightSections(shown)
    .map(({ title, lines }) => `${title}: ${lines.join("\n  ")}`)
    .join("\n");

describe("the preflight", () => {
  it("shows what will be, line by line", () => {
    expect(textOf(view()).split("\n")).toEqual([
      "agent: dev (brought by the repository, /r/dev.md), runs claude, labelled try",
      "  sha256 ab12",
      "prompt: First line.",
      "task: Fix it",
      "bottle: b (/h/base.md, /h/b.md)",
      "backend: namespace: Linux namespaces, shared kernel; the bottle wants vm or stronger, which this is not",
      "  without seccomp: apt-get install bubblewrap",
      "may reach: a.example, with the credential HAVE, at [::1]:8443, also at 10.0.0.0/8:",
      "    GET, HEAD on any path",
      "    POST on /v1 and below or /x or paths matching /y[0-9], with header x-key (exact)",
      "  p.example, NOT INSPECTED: everything",
      "trusts besides: /ca.pem",
      "credentials: HAVE, held by egress for a.example",
      "  LACK, held by egress for b.example - MISSING: run b login",
      "agent gets: PLAIN (from the manifest)",
      "  ASKED (asked at launch: Your word)",
      "  COPIED (your HOST_VAR)",
      "  ABSENT (your NO_SUCH) - MISSING",
      "skills: review (/s/review)",
      "commits as: Dev <dev@example.com>",
      "workspace: a copy of /work",
      "mounts: /d at /mnt/d, read-only",
      "resources: processors: 2, memory: 1.5 GiB, processes: 4096",
      "warnings: careful",
    ]);
  });

  it("names the image, and says when its registry could change what that is", () => {
    const image = { kind: "registry", host: "docker.io", repository: "library/debian", tag: "12" } as const;
    const digest = `sha256:${"0".repeat(64)}`;
    const resources = { ...PLAN.resources, diskBytes: 20 * 2 ** 30 };
    const shown = textOf(view({ ...PLAN, image, resources }));
    expect(shown).toContain(
      "image: docker://docker.io/library/debian:12, whatever its registry calls so: pin it with",
    );
    expect(shown).toContain("disk: 20 GiB");
    expect(textOf(view({ ...PLAN, image: { ...image, digest } }))).toContain(`debian:12@${digest}\n`);
    expect(textOf(view({ ...PLAN, image: { kind: "folder", path: "/r\u001b[2J" } }))).toContain(
      "dir:/r\\u{1b}[2J\n",
    );
    expect(textOf(view(PLAN))).not.toContain("image:");
  });

  it("says of limits and logging what differs from the usual", () => {
    const more = {
      egressLimits: { requestsPerMinute: 30, uploadBytesPerMinute: 2 ** 21, idleSeconds: 5 },
      egressLog: 0,
      supervise: { patienceMs: 90_000, notify: ["notify-send", "bottle"], freezeOnCanary: true },
      upstreamProxy: { host: "proxy.example", port: 3128, tls: false, tokenRef: "PROXY_LOGIN" },
      presets: [{ name: "npm", from: "/h/.npmrc", hosts: ["registry.example"], env: {}, files: [] }],
    } as const;
    const shown = textOf(view({ ...PLAN, ...more }));
    expect(shown).toContain("presets: npm (/h/.npmrc): registry.example\n");
    expect(shown).toContain("may ask: for more, in bottle inbox; without an answer in 90 seconds");
    expect(shown).toContain("each time this is started here: notify-send bottle\n");
    expect(shown).toContain("the bottle freezes when its decoy");
    expect(shown).toContain("at most: 30 requests a minute\n");
    expect(shown).toContain("2 MiB sent a minute\n");
    expect(shown).toContain("5 seconds without a byte\n");
    expect(shown).toMatch(/logged: to which hosts it was let/);
    expect(shown).toContain("leaves through: http://proxy.example:3128, with the credential PROXY_LOGIN\n");
    expect(shown).toContain("names are resolved there");
  });

  it("says that a pipelock is on the way, and what it does not look into", () => {
    const sealed = PLAN.routes[0]?.host ?? "";
    const shown = textOf(view({ ...PLAN, pipelock: true, placeholderHosts: [sealed] }));
    expect(shown).toContain(`leaves through: your pipelock, which does not look into what goes to ${sealed}`);
  });

  it("names what comes along of the operator's own, and no value of a setting or variable", () => {
    const userConfig: PlannedUserConfig = {
      texts: [{ name: "CLAUDE.md", from: "/u/.claude/CLAUDE.md", to: "/home/node/.claude/CLAUDE.md" }],
      settings: { model: "setting-value" },
      mcpServers: [
        {
          name: "docs",
          place: { type: "http", url: "https://docs.test/mcp", headers: { a: "header-value" } },
        },
        { name: "sh", place: { type: "stdio", command: "sh", args: ["-c\u001b"], env: { A: "env-value" } } },
      ],
    };
    const shown = view({ ...PLAN, userConfig });
    expect(textOf(shown)).toContain(
      [
        "yours: CLAUDE.md (/u/.claude/CLAUDE.md)",
        "settings: model",
        "MCP server docs: https://docs.test/mcp",
        "MCP server sh: sh -c\\u{1b}",
      ].join("\n  "),
    );
    expect(JSON.stringify(shown)).not.toMatch(/setting-value|header-value|env-value/);
  });

  it("says that nothing can be reached, when nothing can", () => {
    const empty: BottlePlan = {
      agent: { name: "claude", source: "built-in", prompt: "" },
      bottle: { name: "claude", files: [] },
      provider: { name: "command", argv: ["true"], env: {}, files: [] },
      env: [],
      skills: [],
      credentials: [],
      routes: [],
      rules: [],
      upstreamCa: [],
      git: {},
      mounts: [],
      resources: { pids: 4096 },
      backend: "qemu",
    };
    const shown = describePlan(empty, {
      availability: { usable: false, lacks: [{ what: "qemu", remedy: "apt-get install qemu-system-x86" }] },
      availableEnv,
    });
    expect(textOf(shown).split("\n")).toEqual([
      "agent: claude (built in), runs command",
      "bottle: claude",
      "backend: qemu: cannot be used here",
      "  without qemu: apt-get install qemu-system-x86",
      "may reach: nothing",
      "workspace: empty",
      "resources: processors: all, memory: all, processes: 4096",
    ]);
    expect(shown.backend).toMatchObject({ usable: false, meetsMinimum: false });
  });

  it("does not promise a machine all of the host", () => {
    const machine: BottlePlan = { ...PLAN, backend: "qemu", resources: { pids: 4096, cpus: 2 } };
    const shown = describePlan(machine, {
      availability: { usable: true, isolation: "vm", strength: "a machine", lacks: [] },
      availableEnv,
    });
    expect(textOf(shown)).toContain("resources: processors: 2, memory: the machine's, processes: 4096");
  });

  it("I2: shows no value of a variable, a credential or a header, neither as text nor as JSON", () => {
    for (const shown of [textOf(view()), JSON.stringify(view())]) {
      for (const value of ["literal-value", "placeholder-value", "header-value"])
        expect(shown).not.toContain(value);
    }
  });

  it("says the same to programs", () => {
    const shown = view();
    expect(JSON.parse(JSON.stringify(shown))).toEqual(shown);
    expect(shown).toMatchObject({
      agent: { name: "dev", source: "repository", contentHash: "ab12", prompt: "First line." },
      backend: {
        name: "namespace",
        usable: true,
        isolation: "namespace",
        minimum: "vm",
        meetsMinimum: false,
      },
      env: [
        { name: "PLAIN", from: "literal", available: true },
        { name: "ASKED", from: "prompt", detail: "Your word", available: true },
        { name: "COPIED", from: "host", detail: "HOST_VAR", available: true },
        { name: "ABSENT", from: "host", detail: "NO_SUCH", available: false },
      ],
      credentials: [
        { tokenRef: "HAVE", available: true },
        { tokenRef: "LACK", available: false, howToGet: "run b login" },
      ],
      hosts: [
        { host: "a.example", credential: "HAVE", connectTo: "[::1]:8443" },
        { host: "p.example", tls: "passthrough" },
      ],
    });
  });

  it("I6: nothing that a file says can draw on the screen on which it is approved", () => {
    const evil = "\u001b[2J\u009b1m\u202e\u2066\u200b\u0007\r\u2028x";
    const hostile: BottlePlan = {
      ...PLAN,
      agent: { ...PLAN.agent, name: evil, file: evil, prompt: `ok ${evil}` },
      bottle: { name: evil, files: [evil] },
      label: evil,
      task: evil,
      env: [{ name: "A", source: { kind: "prompt", text: evil } }],
      skills: [{ name: evil, path: evil }],
      credentials: [{ tokenRef: "LACK", holder: "egress", hosts: [evil], howToGet: evil }],
      git: { name: evil, email: evil },
      workspaceFrom: evil,
      mounts: [{ from: evil, to: evil }],
      rules: [],
      upstreamCa: [evil],
      routes: PLAN.routes.map((route) => ({ ...route, host: evil, allowAddresses: [evil] })),
    };
    for (const { lines } of preflightSections(view(hostile))) {
      for (const line of lines) expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    }
  });

  it("is not filled by one long line", () => {
    const long = { ...PLAN, agent: { ...PLAN.agent, prompt: "x".repeat(1_000_000) } };
    expect(view(long).agent.prompt.length).toBeLessThanOrEqual(201);
  });
});

import { spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { UserError } from "../../../src/lib/errors.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { loadAgent, validateFile } from "../../../src/manifest/load.ts";
import { ManifestError } from "../../../src/manifest/problem.ts";
import { findSkills } from "../../../src/manifest/skills.ts";
import { MAX_FILE_BYTES } from "../../../src/manifest/text-file.ts";
import { type ManifestTree, manifestTree, thrownBy } from "../../support/manifest-tree.ts";

let tree: ManifestTree;
afterEach(() => tree.remove());

/** The message of loading `name`, with paths shortened to what the test wrote. */
function failure(name: string): string {
  const error = thrownBy(() => loadAgent(tree.index(), name));
  expect(error).toBeInstanceOf(UserError);
  return error.message.replaceAll(`${tree.home.root}/`, "");
}

describe("loading an agent", () => {
  it("reads it with its whole chain, merged and with defaults", () => {
    tree = manifestTree({
      "agents/dev.md":
        "---\nname: dev\ndescription: d\nmodel: opus\ncolor: red\nmemory: user\nbottle: own\nskills: [a, b, a]\ngit-gate: {user: {name: Dev}}\n---\n\n  Do it.\n\nWell.\n",
      "bottles/own.md": `---\nextends: [base, net]\nenv: {B: "?b", C: "\${C}"}\nisolation: container\nresources: {cpus: 2}\n---\nignored\n`,
      "bottles/base.md":
        "---\nenv: {A: a, B: b}\ngit-gate: {user: {name: Base, email: base@example.com}}\nresources: {memory: 1G}\nbackend: docker\n---\n",
      "bottles/net.md":
        "---\negress: {routes: [{host: a.example}], upstream_ca: [~/ca.pem]}\nmounts: [{from: ~/data, to: /mnt/data}]\n---\n",
      "../ca.pem": "",
      "../data/x": "",
    });
    const loaded = loadAgent(tree.index(), "dev");
    expect(loaded).toMatchObject({
      name: "dev",
      source: "home",
      file: join(tree.home.agents, "dev.md"),
      description: "d",
      prompt: "Do it.\n\nWell.",
      skills: ["a", "b"],
      git: { name: "Dev", email: "base@example.com" },
    });
    expect(loaded.bottle).toEqual({
      name: "own",
      files: ["base", "net", "own"].map((name) => join(tree.home.bottles, `${name}.md`)),
      env: [
        { name: "A", source: { kind: "literal", value: "a" } },
        { name: "B", source: { kind: "prompt", text: "b" } },
        { name: "C", source: { kind: "host", variable: "C" } },
      ],
      routes: [
        { host: "a.example", matches: [], credentialHeaders: [], tls: "terminate", allowAddresses: [] },
      ],
      presets: [],
      rules: [],
      upstreamCa: [join(tree.userHome, "ca.pem")],
      git: { name: "Base", email: "base@example.com" },
      repos: [],
      template: "claude",
      mounts: [{ from: join(tree.userHome, "data"), to: "/mnt/data" }],
      resources: { cpus: 2, memoryBytes: 2 ** 30 },
      isolation: "container",
      backend: "docker",
      repoAgents: false,
    });
  });

  it("a broken file blocks only those who use it", () => {
    tree = manifestTree({
      "agents/good.md": "---\nbottle: good\n---\n",
      "bottles/good.md": "---\n---\n",
      "agents/broken.md": "no front matter",
      "bottles/broken.md": "---\n: : :\n  - [\n---\n",
      "repo/agents/bad.md": "\u0000",
    });
    expect(loadAgent(tree.index(), "good").bottle.name).toBe("good");
    expect(failure("broken")).toContain("agents/broken.md:1:1: has no front matter");
  });

  it("tells the problems of all bottles of the chain at once", () => {
    tree = manifestTree({
      "agents/x.md": "---\nbottle: own\n---\n",
      "bottles/own.md": "---\nextends: [base, gone]\nworkspace: []\n---\n",
      "bottles/base.md": "---\negres: {}\n---\n",
    });
    expect(failure("x").split("\n")).toEqual([
      "bottles/own.md:3:1: workspace: is not supported yet; take it out to run this bottle",
      'bottles/base.md:2:1: egres: is not a key here, did you mean "egress"?',
      'bottles/own.md:2:17: extends[1]: there is no bottle "gone" (own -> gone); there are: base, claude, own',
    ]);
  });

  it.each([
    [
      "a cycle",
      { a: "b", b: "c", c: "a" },
      "bottles/c.md:2:10: extends: leads back to itself: a -> b -> c -> a",
    ],
    ["itself", { a: "a" }, "bottles/a.md:2:10: extends: leads back to itself: a -> a"],
    [
      "a misspelt parent",
      { a: "bsae", base: "" },
      'bottles/a.md:2:10: extends: there is no bottle "bsae" (a -> bsae), did you mean "base"?; there are: a, base, claude',
    ],
  ])("names %s with the chain", (_what, family, expected) => {
    const files = Object.entries(family).map(([name, parent]) => [
      `bottles/${name}.md`,
      `---\n${parent === "" ? "" : `extends: ${parent}\n`}---\n`,
    ]);
    tree = manifestTree({ "agents/x.md": "---\nbottle: a\n---\n", ...Object.fromEntries(files) });
    expect(failure("x")).toBe(expected);
  });

  it("a bottle may extend the built-in one", () => {
    tree = manifestTree({
      "agents/x.md": "---\nbottle: a\n---\n",
      "bottles/a.md": "---\nextends: claude\n---\n",
    });
    expect(loadAgent(tree.index(), "x").bottle).toMatchObject({
      template: "claude",
      files: [join(tree.home.bottles, "a.md")],
    });
  });

  it("names an agent and a bottle that do not exist, what was meant, and what there is", () => {
    tree = manifestTree({
      "agents/dev.md": "---\nbottle: cluade\n---\n",
      "agents/lost.md": "---\ndescription: x\n---\n",
    });
    const error = thrownBy(() => loadAgent(tree.index(), "dve")) as UserError;
    expect(error.message).toBe('there is no agent "dve", did you mean "dev"?');
    expect(error.hint).toBe(
      `there are: claude, dev, lost; a new one is a file ${tree.home.agents}/<name>.md`,
    );
    expect(failure("dev")).toBe(
      'agents/dev.md:2:9: bottle: there is no bottle "cluade", did you mean "claude"?; there are: claude',
    );
    expect(failure("lost")).toBe(
      "agents/lost.md:2:1: bottle: is missing: name the bottle to run in; there are: claude",
    );
    expect(failure("../dev")).toContain('there is no agent "../dev"');
  });

  it("refuses two parents that say different things about one host or one place", () => {
    tree = manifestTree({
      "agents/x.md": "---\nbottle: both\n---\n",
      "bottles/a.md": "---\negress: {routes: [{host: h.example}]}\nmounts: [{from: /var, to: /mnt/d}]\n---\n",
      "bottles/b.md":
        "---\negress: {routes: [{host: h.example, tls: passthrough}]}\nmounts: [{from: /usr, to: /mnt/d}]\n---\n",
      "bottles/both.md": "---\nextends: [a, b]\n---\n",
    });
    expect(failure("x").split("\n")).toEqual([
      "bottles/both.md:2:10: extends: brings different routes for h.example together (from a, b): write egress in both",
      'bottles/both.md:2:10: extends: brings different mounts at "/mnt/d" together (from a, b): write mounts in both',
    ]);
    tree.write(
      "bottles/both.md",
      "---\nextends: [a, b]\negress: {routes: [{host: h.example}]}\nmounts: []\n---\n",
    );
    expect(loadAgent(tree.index(), "x").bottle.routes).toHaveLength(1);
  });

  it("refuses host paths that are not there, and those that would show bot-bottle's own folder", () => {
    tree = manifestTree({
      "agents/x.md": "---\nbottle: b\n---\n",
      "bottles/b.md":
        "---\nmounts:\n  - {from: ~/gone, to: /mnt/a}\n  - {from: '~', to: /mnt/b}\n  - {from: ~/.bot-bottle/state, to: /mnt/c}\n  - {from: ~/link, to: /mnt/d}\negress:\n  upstream_ca: [~/none.pem, ~/.bot-bottle]\n---\n",
      "state/x": "",
    });
    symlinkSync("/", join(tree.userHome, "link"));
    expect(failure("x").split("\n")).toEqual([
      "bottles/b.md:3:12: mounts[0].from: does not exist",
      `bottles/b.md:4:12: mounts[1].from: would show ${tree.home.root} to the agent: name a narrower folder`,
      `bottles/b.md:5:12: mounts[2].from: would show ${tree.home.root} to the agent: name a narrower folder`,
      "bottles/b.md:6:12: mounts[3].from: is the whole host: name a folder or file of yours",
      "bottles/b.md:8:17: egress.upstream_ca[0]: does not exist",
      "bottles/b.md:8:29: egress.upstream_ca[1]: is not a file",
    ]);
  });
});

describe("keys that nothing acts on yet", () => {
  const bottle = (yaml: string): void => {
    tree = manifestTree({ "agents/x.md": "---\nbottle: b\n---\n", "bottles/b.md": `---\n${yaml}\n---\n` });
  };

  it.each([
    ["workspace: []", "2:1: workspace: is"],
    ["agent_provider: {auth_token: x}", "2:18: agent_provider.auth_token: is"],
    [
      "agent_provider: {forward_host_credentials: false}",
      "2:18: agent_provider.forward_host_credentials: is",
    ],
  ])("refuses %s when the bottle is used, and only then", (yaml, expected) => {
    bottle(yaml);
    expect(failure("x")).toBe(`bottles/b.md:${expected} not supported yet; take it out to run this bottle`);
    expect(validateFile("bottle", join(tree.home.bottles, "b.md"))).toHaveLength(1);
    expect(loadAgent(tree.index(), "claude").name).toBe("claude");
  });

  it.each([
    "supervise: false",
    "env: {A: {value: x, to: [a.example]}}",
    "egress: {routes: [{host: a.b, dlp: {outbound_on_match: redact}}]}",
    "egress: {rules: [{id: ticket, pattern: 'SEC-[0-9]+'}]}",
    "backend: qemu",
    "isolation: vm",
    "agent_provider: {template: claude}",
    "repo_agents: true",
  ])("has %s among what is supported", (yaml) => {
    bottle(yaml);
    expect(loadAgent(tree.index(), "x").bottle.name).toBe("b");
  });
});

describe("a file that is none", () => {
  const refusalOf = (name: string): string => failure(name).replace(`agents/${name}.md:`, "");

  it("is refused by size before it is read", () => {
    tree = manifestTree({ "agents/huge.md": `---\nbottle: claude\n---\n${"x".repeat(10 * MAX_FILE_BYTES)}` });
    expect(refusalOf("huge")).toBe("1:1: is larger than 1024 KiB (10485783 bytes or more); shorten it");
    tree.write("agents/full.md", `---\nbottle: claude\n---\n${"x".repeat(MAX_FILE_BYTES - 24)}`);
    expect(loadAgent(tree.index(), "full").prompt).toHaveLength(MAX_FILE_BYTES - 24);
  });

  it("is refused where it is not UTF-8", () => {
    tree = manifestTree({
      "agents/latin.md": Buffer.from("---\nbottle: claude\ndescription: caf\u00e9 \u00e9\n---\n", "latin1"),
      "agents/cut.md": Buffer.concat([
        Buffer.from("---\nbottle: claude\n---\n\u00fcber "),
        Buffer.from([0xf0, 0x9f]),
      ]),
      "agents/utf16.md": Buffer.from("\ufeff---\nbottle: claude\n---\n", "utf16le"),
    });
    expect(refusalOf("latin")).toBe("3:17: is not UTF-8 text; save it as UTF-8");
    expect(refusalOf("cut")).toBe("4:6: is not UTF-8 text; save it as UTF-8");
    expect(refusalOf("utf16")).toBe("1:1: is not UTF-8 text; save it as UTF-8");
  });

  it("is refused where it has control characters", () => {
    tree = manifestTree({
      "agents/nul.md": "---\nbottle: claude\n---\nab\u0000c",
      "agents/esc.md": "---\nbottle: claude\n---\n\u001b[2J",
    });
    expect(refusalOf("nul")).toBe("4:3: contains the control character U+0000; remove it");
    expect(refusalOf("esc")).toBe("4:1: contains the control character U+001B; remove it");
  });

  it("may begin with a byte order mark and have CRLF", () => {
    tree = manifestTree({ "agents/dos.md": "\ufeff---\r\nbottle: claude\r\n---\r\nOne\r\nTwo\r\n" });
    expect(loadAgent(tree.index(), "dos").prompt).toBe("One\nTwo");
  });

  it("is refused when it is a folder, a pipe, a dangling link, a link to itself, or a device", async () => {
    tree = manifestTree();
    const at = (name: string): string => join(tree.home.agents, `${name}.md`);
    mkdirSync(at("folder"));
    await runOk(["mkfifo", at("pipe")]);
    symlinkSync("/nonexistent/x", at("dangling"));
    symlinkSync(at("loop"), at("loop"));
    symlinkSync("/dev/zero", at("device"));
    expect(refusalOf("folder")).toBe("1:1: is a directory, not a file");
    expect(refusalOf("pipe")).toBe("1:1: is not a regular file");
    expect(refusalOf("dangling")).toBe("1:1: does not exist, or is a link to something that does not");
    expect(refusalOf("loop")).toBe("1:1: is a link that leads to itself");
    expect(refusalOf("device")).toBe("1:1: is not a regular file");
  });

  it("is refused when it cannot be read, as an ordinary user sees it", () => {
    tree = manifestTree({ "agents/secret.md": "---\nbottle: claude\n---\n" });
    const uid = process.getuid?.() === 0 ? 65_534 : undefined;
    const program = `
      import { readTextFile } from ${JSON.stringify(join(process.cwd(), "src/manifest/text-file.ts"))};
      console.log(readTextFile(process.argv[1]).message);`;
    // Root reads everything: there the question is asked by somebody else.
    const folder = join(tree.home.agents, "shut");
    mkdirSync(folder, { mode: 0o700 });
    const file = tree.write("agents/shut/x.md", "---\n---\n");
    spawnSync("chmod", ["000", uid === undefined ? file : folder]);
    const result = spawnSync(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "--eval", program, file],
      {
        encoding: "utf8",
        ...(uid === undefined ? {} : { uid, gid: uid }),
        env: { ...process.env, TSX_DISABLE_CACHE: "1" },
      },
    );
    spawnSync("chmod", ["700", folder]);
    expect(result.stdout.trim()).toBe("cannot be read: permission denied; make it readable with chmod u+r");
  });
});

describe("validating one file", () => {
  it("throws every problem and returns what is not supported yet", () => {
    tree = manifestTree({
      "bottles/bad.md": "---\na: 1\nb: 2\n---\n",
      "bottles/later.md": "---\nworkspace: []\n---\n",
    });
    const error = thrownBy(() => validateFile("bottle", join(tree.home.bottles, "bad.md")));
    expect(error).toBeInstanceOf(ManifestError);
    expect((error as ManifestError).problems.map(({ line, column, key }) => [line, column, key])).toEqual([
      [2, 1, "a"],
      [3, 1, "b"],
    ]);
    expect((error as ManifestError).hint).toContain("bottle schema");
    const later = join(tree.home.bottles, "later.md");
    expect(validateFile("bottle", later)).toEqual([
      `${later}:2:1: workspace: is not supported yet; take it out to run this bottle`,
    ]);
  });
});

describe("skills", () => {
  it("come from the operator's folders, bot-bottle's before Claude's, links resolved", () => {
    tree = manifestTree({
      "skills/one/SKILL.md": "",
      "../.claude/skills/one/SKILL.md": "",
      "../.claude/skills/two/SKILL.md": "",
    });
    symlinkSync(join(tree.home.root, "skills", "one"), join(tree.home.root, "skills", "three"));
    const where = { home: tree.home, userHome: tree.userHome };
    expect(findSkills(["one", "two", "three"], where)).toEqual(
      new Map([
        ["one", join(tree.home.root, "skills", "one")],
        ["two", join(tree.userHome, ".claude", "skills", "two")],
        ["three", join(tree.home.root, "skills", "one")],
      ]),
    );
  });

  it("that are missing are named, all of them, with what was meant", () => {
    tree = manifestTree({ "skills/review/SKILL.md": "", "skills/file": "" });
    const error = thrownBy(() =>
      findSkills(["reveiw", "file"], { home: tree.home, userHome: tree.userHome }),
    ) as UserError;
    expect(error.message.split("\n")).toEqual([
      'there is no skill "reveiw", did you mean "review"?',
      'there is no skill "file"',
    ]);
    expect(error.hint).toContain("there are: review");
  });

  it("cannot be named by a path", () => {
    tree = manifestTree({
      "agents/x.md": "---\nbottle: claude\nskills: [../../etc, a/b, .., .hidden]\n---\n",
    });
    expect(failure("x").split("\n")).toHaveLength(4);
  });
});

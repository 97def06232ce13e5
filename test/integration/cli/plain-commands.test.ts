import { spawn } from "node:child_process";
import { chmodSync, readFileSync, rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BOTTLE, type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";

let cli: BottleCli;
beforeAll(() => {
  cli = createBottleCli();
  cli.agent("worker", ["true"], { agent: { description: "Does the work." }, prompt: "Work.\nHard." });
});
afterEach(() => cli.expectNothingLeft());
afterAll(() => cli.remove());

const COMMANDS = [
  ...["start", "resume", "list", "attach", "exec", "logs", "stop", "cp", "diff", "pull", "rm", "cleanup"],
  ...["info", "edit", "schema", "doctor", "inbox", "freeze", "thaw", "egress", "audit", "demo", "completion"],
];

describe("help", () => {
  it.each([["--help"], ["help"], ["-h"]])("%s lists every command and exits 0", async (flag) => {
    const { code, stdout, stderr } = await cli.run([flag]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}[ |]`, "m"));
  });

  it("of a command says what it takes, with examples", async () => {
    const { code, stdout } = await cli.run(["help", "start"]);
    expect(code).toBe(0);
    for (const flag of [
      "--yes",
      "--dry-run",
      "--json",
      "--backend",
      "--detach",
      "--label",
      "--cwd",
      "--prompt",
    ])
      expect(stdout).toContain(flag);
    expect(stdout).toContain("Examples:");
  });

  it("says nothing of how what may be repeated begins", async () => {
    for (const command of ["exec", "resume", "attack"])
      expect((await cli.run(["help", command])).stdout).not.toContain("default: []");
  });

  it("tells the version", async () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(await cli.run(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });
});

describe("wrong usage", () => {
  it.each([
    [[], ""],
    [["frobnicate"], "unknown command 'frobnicate'"],
    [["lst"], "Did you mean one of list, ls?"],
    [["list", "--jsn"], "unknown option '--jsn'"],
    [["start", "a", "b"], "too many arguments"],
    [["start", "worker", "--backend"], "argument missing"],
    [["exec"], "missing required argument 'id'"],
    [["schema", "agnet"], "there is a schema for bottle and one for agent"],
    [["completion", "tcsh"], "no completion for tcsh"],
  ])("%j exits 2 and says so on stderr", async (args, text) => {
    const { code, stdout, stderr } = await cli.run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(text);
  });
});

describe("listing when there is nothing", () => {
  it("says what makes a bottle, and prints an empty list as data", async () => {
    expect(await cli.run(["list"])).toEqual({
      code: 0,
      stdout: "",
      stderr: "no bottles; bottle start <agent> makes one\n",
    });
    expect(await cli.run(["list", "--json"])).toMatchObject({ code: 0, stdout: "[]\n" });
    expect(await cli.run(["cleanup"])).toEqual({ code: 0, stdout: "", stderr: "nothing was left behind\n" });
    expect((await cli.run(["cleanup", "--json"])).stdout).toBe("[]\n");
  });

  it("lists agents, built in and own", async () => {
    const { stdout } = await cli.run(["list", "--agents"]);
    expect(stdout).toMatch(/^AGENT +FROM +FILE\nclaude +built-in\nworker +home +\/tmp\/.*\/worker\.md\n$/);
    expect(JSON.parse((await cli.run(["list", "-a", "--json"])).stdout)).toEqual([
      { name: "claude", source: "built-in", file: null },
      { name: "worker", source: "home", file: cli.path("h/agents/worker.md") },
    ]);
  });
});

describe("bottle info", () => {
  it("shows an agent as the preflight does, with what it is for", async () => {
    const { code, stdout, stderr } = await cli.run(["info", "worker"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toMatch(/^Does the work\.\n/);
    expect(stderr).toMatch(/^ +prompt {2}Work\.$/m);
    const data = JSON.parse((await cli.run(["info", "worker", "--json"])).stdout) as object;
    expect(data).toMatchObject({ description: "Does the work.", agent: { name: "worker" }, hosts: [] });
  });

  it("says where a manifest is wrong", async () => {
    cli.write("h/bottles/broken.md", "---\negress:\n  routes:\n    - hosst: example.com\n---\n");
    cli.write("h/agents/broken.md", "---\nbottle: broken\n---\n");
    const { code, stderr } = await cli.run(["info", "broken"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/bottles\/broken\.md:4:\d+.*hosst/);
    expect(stderr).toContain('did you mean "host"');
    // One broken file is nobody else's trouble.
    expect((await cli.run(["info", "worker"])).code).toBe(0);
  });
});

describe("bottle schema", () => {
  it("prints the JSON Schemas, together and each", async () => {
    const all = JSON.parse((await cli.run(["schema"])).stdout) as Record<string, { type: string }>;
    expect(Object.keys(all).sort()).toEqual(["agent", "bottle"]);
    const bottle = JSON.parse((await cli.run(["schema", "bottle"])).stdout) as {
      $schema: string;
      properties: object;
    };
    expect(bottle.$schema).toContain("json-schema.org");
    expect(Object.keys(bottle.properties)).toEqual(expect.arrayContaining(["egress", "env", "isolation"]));
    expect(JSON.parse((await cli.run(["schema", "agent"])).stdout)).toEqual(all["agent"]);
  });
});

describe("bottle doctor", () => {
  it("says what this host can do, what is missing, and the command that adds it", async () => {
    const { code, stdout } = await cli.run(["doctor"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ok +node +v\d+/m);
    expect(stdout).toMatch(/^(ok|weaker) +backend namespace +namespace: Linux namespaces/m);
    expect(stdout).toMatch(/^missing +backend smolmachines +cannot be used here\n +missing smolvm$/m);
    expect(stdout).toMatch(
      /^missing +provider claude +no credential in the environment\n +missing .*\n +.*claude setup-token/m,
    );
  });

  it("says the same as data, and exits 1 when nothing here can run a bottle", async () => {
    const data = JSON.parse((await cli.run(["doctor", "--json"])).stdout) as {
      usable: boolean;
      home: string;
      findings: { part: string; state: string; lacks: { what: string; remedy: string }[] }[];
    };
    expect(data).toMatchObject({ usable: true, home: cli.home, cache: cli.path("c") });
    for (const { lacks } of data.findings)
      for (const { what, remedy } of lacks)
        expect([what, remedy].every((text) => text.length > 0)).toBe(true);
    // A host without user namespaces, as far as the command can tell.
    const wrapper = [
      "unshare",
      "--user",
      "--map-root-user",
      "sh",
      "-ec",
      `echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"`,
      "sh",
    ];
    const without = await cli.run(["doctor"], { wrapper });
    expect(without.code).toBe(1);
    expect(without.stdout).toMatch(
      /^missing +backend namespace +cannot be used here\n +missing user namespaces/m,
    );
    const refused = await cli.run(["start", "worker", "-p", "x"], { wrapper });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("no backend can run a bottle here");
  });
});

describe("bottle edit", () => {
  /** An editor that appends `text`, or does what `script` says with `$1`. */
  const editor = (script: string): string => {
    const path = cli.write("editor", `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o700);
    return path;
  };

  it("opens an agent's file in $EDITOR, with its arguments, and checks it afterwards", async () => {
    const EDITOR = `${editor('[ "$1" = --wait ] && echo "More." >> "$2"')} --wait`;
    expect(await cli.run(["edit", "worker"], { env: { EDITOR } })).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
    expect(readFileSync(cli.path("h/agents/worker.md"), "utf8")).toMatch(/Hard\.\nMore\.\n$/);
  });

  it("says what is wrong in it now", async () => {
    const EDITOR = editor(`printf -- '---\\nbotle: worker\\n---\\n' > "$1"`);
    const { code, stderr } = await cli.run(["edit", "spoilt"], { env: { EDITOR } });
    expect(code).toBe(1);
    expect(stderr).toContain(`new: ${cli.path("h/agents/spoilt.md")}`);
    expect(stderr).toMatch(/spoilt\.md:2:\d+.*botle/);
    expect(stderr).toContain('did you mean "bottle"');
    rmSync(cli.path("h/agents/spoilt.md"));
  });

  it("names an editor that is not there, and one that failed", async () => {
    const missing = await cli.run(["edit", "worker"], { env: { EDITOR: "no-such-editor" } });
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/cannot run the editor no-such-editor\nnext: {2}set EDITOR/);
    const failed = await cli.run(["edit", "worker"], { env: { EDITOR: editor("exit 3") } });
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("ended with 3") });
    expect((await cli.run(["edit", "mistyped"], { env: { EDITOR: "no-such-editor" } })).code).toBe(1);
    expect((await cli.run(["info", "mistyped"])).stderr).toContain("there is no agent");
    expect((await cli.run(["edit", "../escape"], { env: { EDITOR: "true" } })).code).toBe(1);
  });
});

describe("bottle completion", () => {
  it("prints scripts that their shells can read", async () => {
    const bash = await cli.run(["completion", "bash"]);
    expect(bash.code).toBe(0);
    const complete = `${bash.stdout}
      COMP_WORDS=(bottle sta) COMP_CWORD=1; _bottle; echo "\${COMPREPLY[*]}"
      bottle() { printf 'ID AGENT\\nworker-00000 worker\\n'; }
      COMP_WORDS=(bottle stop wor) COMP_CWORD=2; _bottle; echo "\${COMPREPLY[*]}"
      COMP_WORDS=(bottle start --la) COMP_CWORD=2; _bottle; echo "\${COMPREPLY[*]}"
      COMP_WORDS=(bottle inbox ap) COMP_CWORD=2; _bottle; echo "\${COMPREPLY[*]}"
      COMP_WORDS=(bottle inbox approve --dig) COMP_CWORD=3; _bottle; echo "\${COMPREPLY[*]}"
      COMP_WORDS=(bottle audit report wor) COMP_CWORD=3; _bottle; echo "\${COMPREPLY[*]}"
      bottle() { printf 'AGENT FROM\\nclaude built-in\\n'; }
      COMP_WORDS=(bottle egress test cl) COMP_CWORD=3; _bottle; echo "\${COMPREPLY[*]}"
      bottle() { printf 'TICKET BOTTLE\\n0123abcd worker-00000\\nGRANT BOTTLE\\n4567abcd worker-00000\\n'; }
      COMP_WORDS=(bottle inbox revoke 4) COMP_CWORD=3; _bottle; echo "\${COMPREPLY[*]}"`;
    const child = spawn("bash", ["--norc"], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.end(complete);
    let text = "";
    for await (const chunk of child.stdout.setEncoding("utf8")) text += chunk;
    expect(text).toBe("start\nworker-00000\n--label\napprove\n--digest\nworker-00000\nclaude\n4567abcd\n");
    // In a zsh that completes nothing yet it would fail without the first line.
    expect((await cli.run(["completion", "zsh"])).stdout).toMatch(
      /^\(\( \$\+functions\[compdef\] \)\) \|\| \{ autoload -U compinit && compinit \}\n.*bashcompinit\n/,
    );
    expect((await cli.run(["completion", "fish"])).stdout).toMatch(/^complete -c bottle .* -a start -d '/m);
  });
});

describe("output", () => {
  it("is coloured on a terminal, and never with NO_COLOR or TERM=dumb", async () => {
    const coloured = cli.terminal(["info", "worker"]);
    await coloured.exit;
    expect(coloured.raw()).toContain("\x1b[");
    for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
      const plain = cli.terminal(["info", "worker"], { env });
      await plain.exit;
      expect(plain.raw()).not.toContain("\x1b");
      expect(plain.raw()).toContain("worker");
    }
    expect((await cli.run(["info", "worker"])).stderr).not.toContain("\x1b");
  });

  it.each([["list --agents"], ["schema"], ["doctor"], ["help"], ["cleanup"]])(
    "of %s goes nowhere without complaint when nobody reads it",
    async (args) => {
      const pipe = `("$0" "$1" ${args}; echo "exit $?" >&2) | head -c 0`;
      const child = spawn("bash", ["-c", pipe, process.execPath, BOTTLE], {
        cwd: cli.folder,
        env: { ...cli.env },
        stdio: ["ignore", "ignore", "pipe"],
      });
      let text = "";
      for await (const chunk of child.stderr.setEncoding("utf8")) text += chunk;
      expect(text.replace("nothing was left behind\n", "")).toBe("exit 0\n");
    },
  );

  it("says that it could not be written, when the disk is full", async () => {
    const child = spawn(
      "bash",
      ["-c", '"$0" "$1" schema > /dev/full; echo "exit $?" >&2', process.execPath, BOTTLE],
      {
        cwd: cli.folder,
        env: { ...cli.env },
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    let text = "";
    for await (const chunk of child.stderr.setEncoding("utf8")) text += chunk;
    expect(text).toBe("error: ENOSPC: no space left on device, write\nexit 1\n");
  });
});

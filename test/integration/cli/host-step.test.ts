/** On a Mac, the addresses of bottles are made by its root: who starts one is asked, on the terminal, and nobody else is. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn as spawnPty } from "@lydell/node-pty";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { poolCommand } from "../../../src/backends/smolmachines/alias.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { run } from "../../../src/lib/processes.ts";

const WORDS = [
  "--import",
  "tsx",
  packagePath("test/integration/backends/programs/smolmachines-host-step.ts"),
];
/** What is typed as if it were a password. */
const TYPED = "something typed";

let folder = "";
let env: Record<string, string>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bbs-"));
  env = { PATH: `${folder}:${process.env["PATH"]}`, HOME: folder };
  program(
    "sudo",
    `printf 'Password: ' >/dev/tty; read -r word </dev/tty; printf '%s\\n' "$word" "$@" >'${folder}/asked'`,
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(name: string, shell: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${shell}\n`);
  chmodSync(join(folder, name), 0o755);
}

/** @returns what the terminal showed. */
function onTerminal(...args: readonly string[]): Promise<string> {
  const pty = spawnPty(process.execPath, [...WORDS, ...args], { cols: 200, cwd: packagePath(), env });
  let shown = "";
  return new Promise((resolve) => {
    pty.onData((text) => {
      if (!shown.includes("Password: ") && `${shown}${text}`.includes("Password: ")) pty.write(`${TYPED}\r`);
      shown += text;
    });
    pty.onExit(() => resolve(shown));
  });
}

const asked = (): string | undefined =>
  existsSync(join(folder, "asked")) ? readFileSync(join(folder, "asked"), "utf8") : undefined;

describe("the loopback addresses of a Mac (untried there)", () => {
  it.each([
    ["a release that leads to them", "0.8.0", []],
    ["sidecars in a container, whatever the release", "1.9.3", ["container"]],
  ])("are asked for once, by sudo, before a bottle starts with %s", async (_what, version, args) => {
    program("smolvm", `echo smolvm ${version}`);
    const shown = await onTerminal(...args);
    expect(asked()).toBe(`${TYPED}\nsh\n-c\n${poolCommand([])}\n`);
    expect(shown).toContain(
      "the loopback addresses for bottles are made anew after each boot: sudo asks for",
    );
    expect(shown).toContain("launching");
  });

  it("are not asked for by a machine that has no network, nor where nobody can be asked", async () => {
    program("smolvm", "echo smolvm 1.9.3");
    expect(await onTerminal()).toBe("launching\r\n");
    program("smolvm", "echo smolvm 0.8.0");
    const { code, stdout, stderr } = await run([process.execPath, ...WORDS], { cwd: packagePath(), env });
    expect({ code, stdout: stdout.toString(), stderr }).toEqual({
      code: 0,
      stdout: "launching\n",
      stderr: "",
    });
    expect(asked()).toBeUndefined();
  });

  it("that are denied are for whoever launches to miss", async () => {
    program("smolvm", "echo smolvm 0.8.0");
    program("sudo", "exit 1");
    expect(await onTerminal()).toContain("launching");
  });
});

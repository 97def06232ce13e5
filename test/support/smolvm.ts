/** Puts a `smolvm` on a PATH folder: the real one where there is one, else the stand-in as the release asked for. */
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { packagePath } from "../../src/lib/package-root.ts";

export const SMOLVM_VERSIONS = ["0.8.0", "1.1.3", "1.8.0", "1.9.3"] as const;

export interface InstallOptions {
  /** Holes of that release that are closed for this test, by the numbers of test/doubles/smolvm/release.ts. */
  readonly closed?: readonly string[];
  /** Holes that are open at their worst, likewise. */
  readonly opened?: readonly string[];
  /** Steps that go wrong: `start`, `pack`, `pack-hangs`. */
  readonly failing?: readonly string[];
  /** A file that gets a line for each call: its words, up to a command for the guest. */
  readonly log?: string;
}

let built: string | undefined;

/** Bundled once a process, because it is started for every command. */
function programs(): string {
  if (built !== undefined) return built;
  const outdir = mkdtempSync(join(tmpdir(), "smolvm-"));
  process.once("exit", () => rmSync(outdir, { recursive: true, force: true }));
  buildSync({
    entryPoints: {
      smolvm: packagePath("test/doubles/smolvm/main.ts"),
      netport: packagePath("test/doubles/smolvm/netport.ts"),
      agent: packagePath("src/jail/programs/guest-init.ts"),
    },
    outdir,
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "esm",
    outExtension: { ".js": ".mjs" },
    external: ["@lydell/node-pty"],
  });
  copyFileSync(packagePath("test/doubles/smolvm/processors.pl"), join(outdir, "processors.pl"));
  // Where node looks for the terminal library from there.
  symlinkSync(packagePath("node_modules"), join(outdir, "node_modules"));
  built = outdir;
  return outdir;
}

/** @returns the folder to put before everything else on PATH. */
export function installSmolvm(folder: string, version: string, options: InstallOptions = {}): string {
  const bin = join(folder, `smolvm-${version}`);
  mkdirSync(bin, { recursive: true });
  const words = [
    ...["--as", version],
    ...(options.closed ?? []).flatMap((hole) => ["--close", hole]),
    ...(options.opened ?? []).flatMap((hole) => ["--open", hole]),
    ...(options.failing ?? []).flatMap((step) => ["--fail", step]),
  ];
  const { log } = options;
  const note =
    log === undefined
      ? ""
      : `line=; for each do [ "$each" = -- ] && break; line="$line $each"; done; echo "$line" >>'${log}'\n`;
  const file = join(bin, "smolvm");
  writeFileSync(
    file,
    `#!/bin/sh\n${note}exec "${process.execPath}" "${join(programs(), "smolvm.mjs")}" ${words.join(" ")} -- "$@"\n`,
  );
  chmodSync(file, 0o755);
  return bin;
}

/** What keeps the stand-in's machines from being tried here, if anything. */
export function standInLack(): string | undefined {
  return process.getuid?.() === 0 ? undefined : "the stand-in for smolvm needs root";
}

/** And those of whole bottles, which want what a real one would. */
export function machineLack(): string | undefined {
  return standInLack() ?? (existsSync("/dev/kvm") ? undefined : "there is no /dev/kvm");
}

/** The end of a title: why it is skipped. */
export function because(lack: string | undefined): string {
  return lack === undefined ? "" : ` (${lack})`;
}

/** Where the real one is. */
export function realSmolvm(path = process.env["PATH"] ?? ""): string | undefined {
  return path
    .split(":")
    .map((folder) => join(folder, "smolvm"))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

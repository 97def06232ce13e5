/** Puts a `smolvm` on a PATH folder: the real one where there is one, else the stand-in as the release asked for. */
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
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
}

let built: string | undefined;

/** Bundled once a process, because it is started for every command. */
function programs(): string {
  if (built !== undefined) return built;
  const outdir = mkdtempSync(join(tmpdir(), "smolvm-"));
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
  const file = join(bin, "smolvm");
  writeFileSync(
    file,
    `#!/bin/sh\nexec "${process.execPath}" "${join(programs(), "smolvm.mjs")}" ${words.join(" ")} -- "$@"\n`,
  );
  chmodSync(file, 0o755);
  return bin;
}

/** What keeps machines from being tried here, if anything: the stand-in's too. */
export function machineLack(): string | undefined {
  if (process.getuid?.() !== 0) return "the stand-in for smolvm needs root";
  return existsSync("/dev/kvm") ? undefined : "there is no /dev/kvm";
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

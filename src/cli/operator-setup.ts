/** Reads what presets want to know of the operator's own setup. Nothing of a workspace or repository (I5). */
import { readdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { PresetName } from "../contract/policy.ts";
import { readTextFile } from "../manifest/text-file.ts";
import type { OperatorSetup, SetupFile, SetupKind } from "../plan/presets/setup.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Which files each preset looks at; of one kind, those that count more come later. */
function candidates(preset: PresetName, env: Environment): readonly (readonly [SetupKind, string])[] {
  const home = env["HOME"] || homedir();
  const config = env["XDG_CONFIG_HOME"] || join(home, ".config");
  const all = (kind: SetupKind, ...paths: readonly (string | undefined)[]): [SetupKind, string][] =>
    paths.flatMap((path): [SetupKind, string][] => (path ? [[kind, path]] : []));
  switch (preset) {
    case "npm":
      return all(
        "npmrc",
        "/etc/npmrc",
        join(dirname(dirname(process.execPath)), "etc", "npmrc"),
        env["NPM_CONFIG_GLOBALCONFIG"] ?? env["npm_config_globalconfig"],
        env["NPM_CONFIG_USERCONFIG"] ?? env["npm_config_userconfig"] ?? join(home, ".npmrc"),
      );
    case "pypi":
      return all(
        "pip",
        "/etc/pip.conf",
        join(home, ".pip", "pip.conf"),
        join(config, "pip", "pip.conf"),
        env["PIP_CONFIG_FILE"],
      );
    case "crates": {
      const cargo = env["CARGO_HOME"] || join(home, ".cargo");
      return all("cargo", join(cargo, "config"), join(cargo, "config.toml"));
    }
    case "go":
      return all("goenv", env["GOENV"] || join(config, "go", "env"));
    case "debian":
      return [
        ...all("apt-list", "/etc/apt/sources.list", ...inFolder("/etc/apt/sources.list.d", ".list")),
        ...all("apt-sources", ...inFolder("/etc/apt/sources.list.d", ".sources")),
      ];
    case "github-read":
      return [];
  }
}

/** Files that do not exist, or cannot be read, say nothing: their programs would say so themselves. */
export function readSetup(presets: readonly PresetName[], env: Environment = process.env): OperatorSetup {
  const files = presets
    .flatMap((preset) => candidates(preset, env))
    .flatMap(([kind, path]): SetupFile[] => {
      const read = readTextFile(path);
      return read.ok ? [{ kind, path, text: read.text }] : [];
    });
  return { env: (name) => env[name], files };
}

function inFolder(folder: string, ending: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(ending))
      .sort()
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

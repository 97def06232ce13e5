/** npm's registries: the one for everything, and those of scopes. */
import { GUEST } from "../../contract/backend.ts";
import { credentialWarning, type Place, placeOf, reading, routeTo } from "./place.ts";
import { DEFAULT_SOURCE, type Expansion, filesOf, type OperatorSetup } from "./setup.ts";

const DEFAULT = "https://registry.npmjs.org/";

interface Entry {
  readonly key: string;
  readonly value: string;
  readonly from: string;
}

export function npm(setup: OperatorSetup): Expansion {
  const entries = new Map<string, Entry>();
  for (const file of filesOf(setup, "npmrc")) {
    for (const [key, value] of npmrcEntries(file.text, setup.env))
      entries.set(key, { key, value, from: file.path });
  }
  const variable = ["npm_config_registry", "NPM_CONFIG_REGISTRY"].find((name) => setup.env(name));
  const given = variable === undefined ? undefined : setup.env(variable);
  if (variable !== undefined && given !== undefined) {
    entries.set("registry", { key: "registry", value: given, from: `$${variable}` });
  }
  const registry = entries.get("registry") ?? { key: "registry", value: DEFAULT, from: DEFAULT_SOURCE };
  const scoped = [...entries.values()].filter(({ key }) => /^@[^/:]+:registry$/.test(key));
  const all = [registry, ...scoped].map((entry) => ({
    ...entry,
    place: placeOf(entry.value, `the npm ${entry.key} of ${entry.from}`),
  }));
  const places = all.map(({ place }) => place);
  const isDefault = scoped.length === 0 && registry.from === DEFAULT_SOURCE;
  return {
    from: [...new Set(all.map(({ from }) => from))].join(", "),
    // Not below the registry's own path: npm asks for `@scope%2fname`, which only a rule for every path takes.
    routes: places.map((place) => routeTo(place, [reading(["/"])])),
    // It would send the names of everything that is installed.
    env: { npm_config_audit: "false" },
    files: isDefault
      ? []
      : [
          {
            path: `${GUEST.home}/.npmrc`,
            content: all.map(({ key, place }) => `${key}=${place.guestUrl}\n`).join(""),
            mode: 0o600,
          },
        ],
    warnings: places
      .filter((place) => place.hadCredential || hasToken([...entries.keys()], place))
      .map(({ host }) => credentialWarning("npm", host)),
  };
}

/** The lines of an .npmrc with what they say: `key = value`, `${VARIABLE}` replaced as npm does. */
export function npmrcEntries(
  text: string,
  env: (name: string) => string | undefined,
): readonly (readonly [key: string, value: string])[] {
  return text.split(/\r?\n/).flatMap((line): [string, string][] => {
    const found = /^\s*([^;#=\s[][^=]*?)\s*=\s*(.*?)\s*$/.exec(line);
    if (found === null) return [];
    const value = (found[2] ?? "").replace(/^(["'])(.*)\1$/, "$2");
    return [[found[1] ?? "", value.replace(/\$\{([^}]+)\}/g, (whole, name: string) => env(name) ?? whole)]];
  });
}

/** `//host/path/:_authToken`, without its value. */
function hasToken(keys: readonly string[], { host }: Place): boolean {
  return keys.some(
    (key) => /^\/\/.*:_(?:authToken|auth|password)$/.test(key) && key.slice(2).split(/[:/]/)[0] === host,
  );
}

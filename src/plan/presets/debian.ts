/** Debian's archives, and whatever else the operator's apt has: package lists and packages. */
import { credentialWarning, placeOf, reading, routeTo } from "./place.ts";
import { DEFAULT_SOURCE, type Expansion, filesOf, type OperatorSetup } from "./setup.ts";

/** Where apt itself says nothing, as on a Mac. */
const DEFAULTS: readonly AptSource[] = [
  { uri: "http://deb.debian.org/debian", flat: false },
  { uri: "http://deb.debian.org/debian-security", flat: false },
  { uri: "http://security.debian.org/debian-security", flat: false },
];

export interface AptSource {
  readonly uri: string;
  /** Packages lie beside their list, and not below `dists` and `pool`. */
  readonly flat: boolean;
}

export function debian(setup: OperatorSetup): Expansion {
  const read = [
    ...filesOf(setup, "apt-list").map(({ path, text }) => ({ path, sources: listSources(text) })),
    ...filesOf(setup, "apt-sources").map(({ path, text }) => ({ path, sources: deb822Sources(text) })),
  ].filter(({ sources }) => sources.length > 0);
  const all = read.flatMap(({ path, sources }) => sources.map((source) => ({ ...source, path })));
  const remote = all.filter(({ uri }) => /^https?:/i.test(uri));
  const others = all.filter(({ uri }) => !/^(?:https?|file|copy|cdrom):/i.test(uri));
  const used = remote.length > 0 ? remote : DEFAULTS.map((source) => ({ ...source, path: DEFAULT_SOURCE }));
  const places = used.map(({ uri, flat, path }) => ({
    flat,
    path,
    place: placeOf(uri, `an archive of ${path}`),
  }));
  return {
    from: [...new Set(places.map(({ path }) => path))].join(", "),
    routes: places.map(({ place, flat }) =>
      routeTo(place, [
        reading(
          flat ? [place.path === "" ? "/" : place.path] : [`${place.path}/dists`, `${place.path}/pool`],
        ),
      ]),
    ),
    env: {},
    files: [],
    warnings: [
      ...[...new Set(others.map(({ path }) => path))].map(
        (path) => `${path} has archives that are neither http nor https: the preset debian leaves them out`,
      ),
      ...places
        .filter(({ place }) => place.hadCredential)
        .map(({ place }) => credentialWarning("debian", place.host)),
    ],
  };
}

/** `deb [options] URI suite [component…]`, one a line (sources.list(5)). */
export function listSources(text: string): readonly AptSource[] {
  return text.split(/\r?\n/).flatMap((line): AptSource[] => {
    const found = /^\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)/.exec(line);
    if (found === null) return [];
    return [{ uri: found[1] ?? "", flat: found[2]?.endsWith("/") ?? false }];
  });
}

/** Stanzas of fields; a field's further lines are indented (deb822(5)). */
export function deb822Sources(text: string): readonly AptSource[] {
  return text
    .replace(/^#.*(?:\r?\n|$)/gm, "")
    .split(/(?:\r?\n[ \t]*){2,}/)
    .flatMap((stanza): AptSource[] => {
      const fields = fieldsOf(stanza);
      if (/^(?:no|false|0|off|disable)$/i.test(fields.get("enabled") ?? "yes")) return [];
      const flat = (fields.get("suites") ?? "").split(/\s+/).some((suite) => suite.endsWith("/"));
      return (fields.get("uris") ?? "")
        .split(/\s+/)
        .filter((uri) => uri !== "")
        .map((uri) => ({ uri, flat }));
    });
}

function fieldsOf(stanza: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let name = "";
  for (const line of stanza.split(/\r?\n/)) {
    const start = /^([A-Za-z][A-Za-z0-9-]*):(.*)$/.exec(line);
    if (start !== null) name = (start[1] ?? "").toLowerCase();
    else if (!/^[ \t]/.test(line)) continue;
    const value = (start?.[2] ?? line).trim();
    fields.set(name, `${fields.get(name) ?? ""} ${value}`.trim());
  }
  return fields;
}

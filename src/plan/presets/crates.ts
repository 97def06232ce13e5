/** Rust's crates: crates.io, or the sparse index that the operator's cargo takes in its place. */
import { GUEST } from "../../contract/backend.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { credentialWarning, placeOf, reading, routeTo } from "./place.ts";
import { DEFAULT_SOURCE, type Expansion, filesOf, type OperatorSetup } from "./setup.ts";

/** A source that replaces one that replaces one…: cargo itself refuses circles. */
const MAX_REPLACEMENTS = 8;

export function crates(setup: OperatorSetup): Expansion {
  const settings = new Map<string, { readonly value: string; readonly from: string }>();
  for (const { text, path } of filesOf(setup, "cargo")) {
    for (const [key, value] of tomlStrings(text)) settings.set(key, { value, from: path });
  }
  let source = "crates-io";
  for (let i = 0; i < MAX_REPLACEMENTS; i++) {
    const next = settings.get(key("source", source, "replace-with"))?.value;
    if (next === undefined) break;
    source = next;
  }
  if (source === "crates-io") return cratesIo();
  const registry =
    settings.get(key("source", source, "registry")) ?? settings.get(key("registries", source, "index"));
  if (registry === undefined || !registry.value.startsWith("sparse+")) {
    throw new UserError(
      `your cargo takes crates from ${printable(source)}, which is no sparse index: no preset can lead there`,
      {
        hint: "take crates out of egress.presets, or let cargo replace crates-io by a sparse+https:// index",
      },
    );
  }
  const place = placeOf(registry.value.slice("sparse+".length), `the cargo registry of ${registry.from}`);
  return {
    from: registry.from,
    // Crates are where the index says: on the same host with every index server there is.
    routes: [routeTo(place, [reading(["/"])])],
    env: {},
    files: [
      {
        path: `${GUEST.home}/.cargo/config.toml`,
        content: `[source.crates-io]\nreplace-with = "operators"\n\n[source.operators]\nregistry = "sparse+${place.guestUrl}"\n`,
        mode: 0o600,
      },
    ],
    warnings: place.hadCredential ? [credentialWarning("crates", place.host)] : [],
  };
}

function cratesIo(): Expansion {
  return {
    from: DEFAULT_SOURCE,
    routes: [
      routeTo({ host: "index.crates.io" }, [reading(["/"])]),
      routeTo({ host: "static.crates.io" }, [reading(["/crates"])]),
      routeTo({ host: "crates.io" }, [reading(["/api/v1/crates"])]),
    ],
    env: {},
    files: [],
    warnings: [],
  };
}

const key = (...parts: readonly string[]): string => JSON.stringify(parts);

/** Every `a.b = "text"` of a TOML file by its whole key, as JSON of its parts. Other values are passed over. */
export function tomlStrings(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let table: readonly string[] = [];
  for (const line of text.split(/\r?\n/)) {
    const header = /^\s*\[([^[\]]+)\]\s*(?:#.*)?$/.exec(line);
    if (header !== null) {
      table = keyParts(header[1] ?? "");
      continue;
    }
    const entry = /^\s*([^=#]+?)\s*=\s*(?:"([^"\\]*)"|'([^']*)')\s*(?:#.*)?$/.exec(line);
    if (entry !== null) found.set(key(...table, ...keyParts(entry[1] ?? "")), entry[2] ?? entry[3] ?? "");
  }
  return found;
}

function keyParts(text: string): readonly string[] {
  return [...text.matchAll(/"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? "",
  );
}

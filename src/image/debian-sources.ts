/** Where this Debian or Ubuntu itself gets its packages, as its operator set it up; nobody else's repositories. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface DebianSources {
  /** `bookworm`. */
  readonly suite: string;
  /** In apt's one-line form: the suite, its updates and its security. */
  readonly lines: readonly string[];
}

const KEYRINGS: Readonly<Record<string, string>> = {
  debian: "/usr/share/keyrings/debian-archive-keyring.gpg",
  ubuntu: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
};

/** Undefined when this is no Debian or Ubuntu with repositories of its own. `root` is `/` but in tests. */
export function debianSources(root = "/"): DebianSources | undefined {
  const release = fields(readText(join(root, "etc/os-release")) ?? "", "=");
  const keyring = KEYRINGS[release.get("ID") ?? ""];
  const suite = release.get("VERSION_CODENAME");
  if (keyring === undefined || suite === undefined || !/^[a-z]+$/.test(suite)) return undefined;
  const lines = sourceFiles(root)
    .flatMap(({ path, text }) => (path.endsWith(".sources") ? fromStanzas(text) : fromLines(text)))
    // Other people's repositories have suites of their own names.
    .filter((source) => source.suite === suite || source.suite.startsWith(`${suite}-`))
    .filter((source) => !source.suite.endsWith("-backports"))
    .map(
      (source) =>
        `deb [signed-by=${source.signedBy ?? keyring}] ${source.uri} ${source.suite} ${source.components}`,
    );
  const unique = [...new Set(lines)];
  return unique.some((line) => line.includes(` ${suite} `)) ? { suite, lines: unique } : undefined;
}

interface Source {
  readonly uri: string;
  readonly suite: string;
  readonly components: string;
  readonly signedBy?: string;
}

function sourceFiles(root: string): { path: string; text: string }[] {
  const folder = join(root, "etc/apt/sources.list.d");
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return [
    join(root, "etc/apt/sources.list"),
    ...names.filter((name) => /\.(?:list|sources)$/.test(name)).map((name) => join(folder, name)),
  ].flatMap((path) => {
    const text = readText(path);
    return text === undefined ? [] : [{ path, text }];
  });
}

function readText(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

/** A keyring by its path; a key written into the list itself is not carried over. */
const isPath = (text: string | undefined): text is string =>
  text?.startsWith("/") === true && !/\s/.test(text);

function fromLines(text: string): Source[] {
  return text.split("\n").flatMap((line) => {
    const [, options = "", uri = "", suite = "", components = ""] =
      /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line) ?? [];
    if (uri === "") return [];
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1];
    return [{ uri, suite, components: components.trim(), ...(isPath(signedBy) && { signedBy }) }];
  });
}

function fromStanzas(text: string): Source[] {
  const plain = text.replace(/^#.*\n?/gm, "").replace(/\n[ \t]+/g, " ");
  return plain.split(/\n\s*\n/).flatMap((stanza) => {
    const values = fields(stanza, ":");
    const words = (key: string): string[] =>
      (values.get(key) ?? "").split(/\s+/).filter((word) => word !== "");
    if (!words("types").includes("deb") || values.get("enabled")?.toLowerCase() === "no") return [];
    const signedBy = values.get("signed-by");
    return words("uris").flatMap((uri) =>
      words("suites").map((suite) => ({
        uri,
        suite,
        components: words("components").join(" "),
        ...(isPath(signedBy) && { signedBy }),
      })),
    );
  });
}

/** `KEY=value` or `Key: value`, a line each. Keys of stanzas in lower case. */
function fields(text: string, separator: "=" | ":"): ReadonlyMap<string, string> {
  return new Map(
    text.split("\n").flatMap((line) => {
      const at = line.indexOf(separator);
      if (at < 0) return [];
      const key = line.slice(0, at).trim();
      const value = line
        .slice(at + 1)
        .trim()
        .replace(/^"(.*)"$/, "$1");
      return [[separator === ":" ? key.toLowerCase() : key, value] as const];
    }),
  );
}

/** What a registry asks for when it says 401: the `www-authenticate` header. Source: RFC 9110, section 11. */

export type Challenge =
  | { readonly scheme: "basic" }
  | { readonly scheme: "bearer"; readonly realm: string; readonly service?: string };

/** A header is some hundred bytes; whatever is longer is no challenge. */
const MAX_HEADER_LENGTH = 8_192;

const SCHEME = /^\s*,?\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z][A-Za-z0-9_-]*\s*=|\s*$|\s*,)/;
const PARAMETER = /^\s*,?\s*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/;

/** The first one that we can answer, tokens before passwords. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  if (header === undefined || header.length > MAX_HEADER_LENGTH) return undefined;
  const challenges = challengesIn(header);
  const bearer = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters.has("realm"));
  if (bearer !== undefined) {
    const service = bearer.parameters.get("service");
    const realm = bearer.parameters.get("realm") ?? "";
    return { scheme: "bearer", realm, ...(service !== undefined && { service }) };
  }
  return challenges.some(({ scheme }) => scheme === "basic") ? { scheme: "basic" } : undefined;
}

function challengesIn(header: string): { scheme: string; parameters: Map<string, string> }[] {
  const found: { scheme: string; parameters: Map<string, string> }[] = [];
  for (let rest = header; rest !== ""; ) {
    const parameter = PARAMETER.exec(rest);
    if (parameter !== null && found.length > 0) {
      const [whole, name = "", quoted, bare = ""] = parameter;
      const value = quoted === undefined ? bare : quoted.replace(/\\(.)/g, "$1");
      found.at(-1)?.parameters.set(name.toLowerCase(), value);
      rest = rest.slice(whole.length);
      continue;
    }
    const scheme = SCHEME.exec(rest);
    if (scheme === null) break;
    found.push({ scheme: (scheme[1] ?? "").toLowerCase(), parameters: new Map() });
    rest = rest.slice(scheme[0].length);
  }
  return found;
}

/**
 * A repository's URL: `ssh://user@host[:port]/path`, `user@host:path`, `https://host[:port]/path`, or a path on the
 * operator's host. One meaning for each text: what git, ssh and a person could read differently is refused, and so
 * is whatever ssh or a shell could take for an option.
 */
import { parseHost } from "../lib/host.ts";
import { accept, type Parsed, quoted, reject } from "../lib/parsed.ts";

export type GitUrl =
  | {
      readonly kind: "ssh";
      readonly user: string;
      readonly host: string;
      readonly port: number;
      readonly path: string;
    }
  | { readonly kind: "https"; readonly host: string; readonly port: number; readonly path: string }
  /** Absolute, or below `~/`. */
  | { readonly kind: "local"; readonly path: string };

const SSH_PORT = 22;
const HTTPS_PORT = 443;

const USER = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;
/** No escapes and no quotes: the far shell, a URL and git would each read them in its own way. */
const PATH = /^[A-Za-z0-9._~+@/-]+$/;

const FORMS =
  "must be ssh://user@host/path, user@host:path, https://host/path, or a path on your host such as ~/repo.git";

export function parseGitUrl(text: string): Parsed<GitUrl> {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(text)?.[1]?.toLowerCase();
  switch (scheme) {
    case "ssh":
      return parseSsh(text.slice("ssh://".length));
    case "https":
      return parseHttps(text.slice("https://".length));
    case "file":
      return reject("is a path on your host: write it without file://");
    case "http":
    case "git":
      return reject(
        `is not encrypted: ${scheme}:// lets anybody on the way change what is pushed; use https:// or ssh://`,
      );
    case undefined:
      return text.startsWith("/") || text.startsWith("~/") ? parseLocal(text) : parseScpLike(text);
    default:
      return reject(`has a scheme that is not for repositories: ${quoted(scheme)}; ${FORMS}`);
  }
}

function parseSsh(rest: string): Parsed<GitUrl> {
  const parts = /^(?:([^@/]*)@)?(\[[^\]]*\]|[^:/@]*)(?::([0-9]{1,5}))?(\/.*)$/.exec(rest);
  if (parts === null) return reject(FORMS);
  return sshUrl(parts[1], parts[2] ?? "", parts[3], parts[4] ?? "");
}

function parseScpLike(text: string): Parsed<GitUrl> {
  const parts = /^(?:([^@/:]*)@)?(\[[^\]]*\]|[^:/@]*):(.+)$/.exec(text);
  return parts === null ? reject(FORMS) : sshUrl(parts[1], parts[2] ?? "", undefined, parts[3] ?? "");
}

function sshUrl(
  user: string | undefined,
  hostText: string,
  portText: string | undefined,
  path: string,
): Parsed<GitUrl> {
  if (user === undefined || user === "")
    return reject("needs the user to log in as, mostly git: ssh://git@host/path");
  if (!USER.test(user)) return reject("has a user that is no plain name; a password has no place in a URL");
  const host = parseHost(hostText);
  if (!host.ok) return reject(`has a host that cannot be: ${host.reason}`);
  const port = portOf(portText, SSH_PORT);
  if (port === undefined) return reject("has a port that is not between 1 and 65535");
  const fault = faultOfPath(path);
  return fault === undefined ? accept({ kind: "ssh", user, host: host.value, port, path }) : reject(fault);
}

function parseHttps(rest: string): Parsed<GitUrl> {
  if (/^[^/]*@/.test(rest)) {
    return reject(
      "must hold no user or password: export the token, and name it as key: {provider: token, token_ref: …}",
    );
  }
  const parts = /^(\[[^\]]*\]|[^:/]*)(?::([0-9]{1,5}))?(\/.*)$/.exec(rest);
  if (parts === null) return reject(FORMS);
  const host = parseHost(parts[1] ?? "");
  if (!host.ok) return reject(`has a host that cannot be: ${host.reason}`);
  const port = portOf(parts[2], HTTPS_PORT);
  if (port === undefined) return reject("has a port that is not between 1 and 65535");
  const path = parts[3] ?? "";
  const fault = faultOfPath(path);
  return fault === undefined ? accept({ kind: "https", host: host.value, port, path }) : reject(fault);
}

function parseLocal(text: string): Parsed<GitUrl> {
  if (/[\p{Cc}\u2028\u2029]/u.test(text)) return reject("must be one line, without control characters");
  if (text.split("/").includes("..")) return reject("must not contain ..");
  return accept({ kind: "local", path: text.replace(/\/+$/, "") || "/" });
}

function portOf(text: string | undefined, standard: number): number | undefined {
  const port = text === undefined ? standard : Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

function faultOfPath(path: string): string | undefined {
  if (path.replace(/^\/+/, "").replace(/\/+$/, "") === "") return "names no repository on the host";
  if (!PATH.test(path)) return "has a path with other characters than letters, digits and . _ ~ + @ / -";
  const segments = path.split("/");
  if (segments.includes("..") || segments.includes(".") || /\/\//.test(path))
    return "must not contain .. or an empty name";
  // ssh hands it to the far side as an argument of git's.
  if (path.startsWith("-")) return "must not begin with a dash";
  return undefined;
}

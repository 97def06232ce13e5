/**
 * One request to a registry. Contract: nothing goes out in the clear, except to this host itself; a server that says
 * nothing more is given up; an answer's body is for the caller to bound.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { homedir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { codeOf, messageOf, UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";

/** No byte for so long: a mirror that makes a blob first may take half of it. */
const IDLE_MS = 60_000;

/** Where engines look for a registry's own authority. */
const CERTIFICATE_FOLDERS = ["/etc/docker/certs.d", "/etc/containers/certs.d"];
const USER_CERTIFICATE_FOLDER = ".config/containers/certs.d";

/** The network failed us, not the registry: worth another attempt. */
export class ConnectionError extends UserError {
  /** Who is there speaks, and speaks no TLS. */
  readonly speaksNoTls: boolean;
  /** Nobody vouches for who is there: it will be the same the next time. */
  readonly isTrust: boolean;

  constructor(message: string, options: { hint: string; cause: unknown; isTrust: boolean }) {
    super(message, options);
    this.isTrust = options.isTrust;
    const code = codeOf(options.cause) ?? "";
    this.speaksNoTls = code === "EPROTO" || code.startsWith("ERR_SSL_");
  }
}

export interface HttpRequest {
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
  /** The registry on whose behalf: who vouches for it vouches for its login and its stores. */
  readonly registry: string;
}

/** Follows nothing and judges nothing. @throws ConnectionError; UserError for an address that is not taken. */
export async function send(url: URL, options: HttpRequest): Promise<IncomingMessage> {
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isOwnHost(url.hostname))) {
    throw new UserError(
      `${shownUrl(url)} is not https: nothing is fetched in the clear but from this host itself`,
    );
  }
  const headers = { "user-agent": "bot-bottle", ...options.headers };
  const { method = "GET", signal } = options;
  const settings = { method, headers, ...(signal && { signal }) };
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      if (options.signal?.aborted) reject(options.signal.reason);
      else reject(failureOf(url, options.registry, error));
    };
    const outgoing =
      url.protocol === "http:"
        ? requestPlain(url, settings)
        : requestTls(url, { ...settings, ...authoritiesFor(options.registry) });
    outgoing.on("error", fail);
    outgoing.on("response", (response) => {
      // An error while it is read is its reader's: without a listener it would end this process.
      response.on("error", () => {});
      resolve(response);
    });
    outgoing.setTimeout(IDLE_MS, () =>
      outgoing.destroy(new Error(`said nothing for ${IDLE_MS / 1_000} seconds`)),
    );
    outgoing.end(options.body);
  });
}

/** This host, which no wire leads to. */
export function isOwnHost(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.[0-9]{1,3}){3}$/.test(hostname);
}

/** Without its query, where a store's own signature is. */
export function shownUrl(url: URL): string {
  return printable(`${url.protocol}//${url.host}${url.pathname}`, 300);
}

function failureOf(url: URL, registry: string, error: unknown): ConnectionError {
  const code = codeOf(error) ?? messageOf(error);
  const isTrust = /CERT|VERIFY|SELF_SIGNED|ISSUER|ALTNAME/.test(code);
  return new ConnectionError(`cannot reach ${printable(url.host)}: ${printable(code)}`, {
    cause: error,
    isTrust,
    hint: isTrust
      ? `put the registry's authority into ${CERTIFICATE_FOLDERS[0]}/${printable(registry)}/ca.crt`
      : "see that this host reaches it; an image can also come from a file: skopeo copy docker://… oci:…",
  });
}

/** Besides those that Node trusts, what the operator gave his engines for this registry. */
function authoritiesFor(host: string): { ca?: string[] } {
  const own = [...CERTIFICATE_FOLDERS, join(homedir(), USER_CERTIFICATE_FOLDER)].flatMap((folder) => {
    const at = join(folder, host);
    if (!existsSync(at)) return [];
    return readdirSync(at)
      .filter((name) => name.endsWith(".crt"))
      .map((name) => readFileSync(join(at, name), "utf8"));
  });
  return own.length === 0 ? {} : { ca: [...rootCertificates, ...own] };
}

/**
 * Who may speak to supervise: the bottle's own programs, and no page in a browser of theirs. Stops DNS rebinding (a
 * Host that is not ours), cross-site requests (an Origin that is not ours), and on a link that others can dial whoever
 * lacks the bottle's bearer.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** Stable; docs/supervise.md says what each one means. */
export const REFUSAL_STATUS = {
  "bearer-required": 401,
  "host-mismatch": 403,
  "origin-refused": 403,
  "not-found": 404,
  "request-rate": 429,
  overloaded: 503,
  stopping: 503,
} as const satisfies Record<string, number>;

export interface Refusal {
  readonly code: keyof typeof REFUSAL_STATUS;
  readonly reason: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const PATH = "/mcp";

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** @param hosts names under which the guest dials us, besides its loopback's. */
export function createAdmission(options: {
  readonly bearer: string | undefined;
  readonly hosts: readonly string[];
}): (request: IncomingMessage) => Refusal | undefined {
  const hosts = new Set([...LOOPBACK, ...options.hosts.map((host) => host.toLowerCase())]);
  const expected = options.bearer === undefined ? undefined : digest(options.bearer);
  return (request) => {
    const { headers, rawHeaders } = request;
    if (expected !== undefined) {
      const [, given] = /^bearer +([^ ]+) *$/i.exec(headers.authorization ?? "") ?? [];
      if (given === undefined || !timingSafeEqual(digest(given), expected)) {
        const reason = "supervise serves one bottle, and the request lacks its bearer";
        return { code: "bearer-required", reason, headers: { "www-authenticate": "Bearer" } };
      }
    }
    const named = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === "host").length;
    if (named !== 1 || !hosts.has(hostOf(headers.host ?? ""))) {
      return { code: "host-mismatch", reason: "the Host header does not name this server" };
    }
    const { origin } = headers;
    const from = origin === undefined ? undefined : /^https?:\/\/([^/]+)$/.exec(origin.toLowerCase())?.[1];
    if (origin !== undefined && (from === undefined || !hosts.has(hostOf(from)))) {
      return { code: "origin-refused", reason: "the request comes from a page of another site" };
    }
    if (request.url !== PATH) {
      return { code: "not-found", reason: `there is nothing here but ${PATH}` };
    }
    return undefined;
  };
}

/** Without the port; compared only with what we know, so what is no host is none of ours. */
function hostOf(authority: string): string {
  return authority.toLowerCase().replace(/:[0-9]{1,5}$/, "");
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/**
 * A request's headers, read once: what they say about the message's own framing, and which of them end
 * here. Framing that two parsers could take for different messages is refused (request smuggling).
 */
import { allow, refuse, type Verdict } from "../denial.ts";
import { canonicalName, kindOf } from "./headers.ts";

export interface RequestHead {
  /** Flat: name, value, as they were sent. */
  readonly raw: readonly string[];
  /** Canonical name of each pair; empty for one that is not passed on. */
  readonly names: readonly string[];
  readonly hosts: readonly string[];
  readonly contentLength: string | undefined;
  readonly chunked: boolean;
  /** Every `Content-Encoding`, in any spelling. */
  readonly contentEncodings: readonly string[];
  readonly expectsContinue: boolean;
  /** Lower case. */
  readonly upgrade: string | undefined;
  /** Secret where the link has a bearer. */
  readonly proxyAuthorization: string | undefined;
  /** Names of method and path override headers. */
  readonly overrides: readonly string[];
}

export function readHead(raw: readonly string[], maxHeaders: number): Verdict<RequestHead> {
  if (raw.length > 2 * maxHeaders) {
    return refuse(
      "head-too-large",
      `the request has more than ${maxHeaders} headers`,
      "size of a request's head",
    );
  }
  const names: string[] = [];
  const hosts: string[] = [];
  const overrides: string[] = [];
  const contentEncodings: string[] = [];
  let connection = "";
  let contentLength: string | undefined;
  let chunked = false;
  let expectsContinue = false;
  let upgrade: string | undefined;
  let proxyAuthorization: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = canonicalName(raw[i] ?? "");
    const value = raw[i + 1] ?? "";
    const kind = kindOf(name);
    if (name === "content-encoding") contentEncodings.push(value);
    names.push(kind === undefined || kind === "override" ? name : "");
    if (kind === undefined) continue;
    if (kind === "override") overrides.push(name);
    // Only the real spelling acts; `Content_Length` is just not passed on.
    switch (raw[i]?.toLowerCase()) {
      case "host":
        hosts.push(value);
        break;
      case "connection":
        connection += `,${value}`;
        break;
      case "content-length":
        // A leading zero makes the number octal to some.
        if (!/^(?:0|[1-9][0-9]{0,14})$/.test(value) || (contentLength ?? value) !== value)
          return badFraming();
        contentLength = value;
        break;
      case "transfer-encoding":
        if (chunked || value.toLowerCase() !== "chunked") return badFraming();
        chunked = true;
        break;
      case "expect":
        expectsContinue = value.toLowerCase() === "100-continue";
        break;
      case "proxy-authorization":
        proxyAuthorization = value;
        break;
      case "upgrade":
        upgrade = upgrade === undefined ? value.toLowerCase() : `${upgrade}, ${value.toLowerCase()}`;
        break;
    }
  }
  if (chunked && contentLength !== undefined) return badFraming();
  if (connection !== "") dropNominated(connection, names);
  return allow({
    raw,
    names,
    hosts,
    contentLength,
    chunked,
    contentEncodings,
    expectsContinue,
    upgrade,
    proxyAuthorization,
    overrides,
  });
}

/** `Connection: x` makes `x` a header of this connection: it ends here, before any rule could count on it. */
function dropNominated(connection: string, names: string[]): void {
  const nominated = new Set(connection.split(",").map((token) => canonicalName(token.trim())));
  for (const [i, name] of names.entries()) {
    if (nominated.has(name)) names[i] = "";
  }
}

function badFraming(): Verdict<never> {
  return refuse(
    "framing-refused",
    "the request's length is stated twice, unclearly, or with a transfer coding other than chunked",
    "one Content-Length, or Transfer-Encoding: chunked",
  );
}

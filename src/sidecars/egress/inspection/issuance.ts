/**
 * Where in an upstream's answer tokens stand that are for the guest to present, and to whom:
 *
 *   `Set-Cookie`, and fields of JSON that are called tokens: to the same host, in headers;
 *   `refresh_token`: also in the body of a request to the very endpoint that gave it;
 *   a URL in `Location`, or in a batch of Git's large files, with what is in it: to the host that it names, in the URL;
 *   a token from the endpoint that a host of the same site named in its `WWW-Authenticate`: to that host, in headers.
 *
 * Nowhere else: what an answer merely contains (a file, a page, what a model wrote) is not issued by it, least of all
 * together with a host to send it to: a model can be talked into saying any URL.
 */
import type { Inspector } from "../../../inspect/inspector.ts";
import { Gathered } from "../../../lib/gathered.ts";
import type { AnswerHead } from "../client/client.ts";
import { canonicalName } from "../rules/headers.ts";
import { canonicalHost } from "../target/authority.ts";
import { type Audience, type IssuedTokens, inBody, inHeader, inUrl } from "./issued-tokens.ts";
import { isUnread } from "./ruling.ts";

/** Who answers. */
export interface Issuer {
  readonly host: string;
  /** Of the request, without its query. */
  readonly path: string;
}

/** Takes an answer's body as the guest gets it. */
export interface TokenReader {
  push(chunk: Buffer): void;
  end(): void;
}

export interface Issuance {
  /** Reads the head; returns what wants to read the body. */
  answer(issuer: Issuer, head: AnswerHead): TokenReader | undefined;
}

/** Longer answers are data. A token of Azure's has 2 KiB, a batch of large files' URLs some 60. */
const MAX_BODY = 64 * 1024;
/** Nested deeper is data as well. */
const MAX_DEPTH = 8;

/** In one answer. Each costs a look into what is for it; the hosts that large files are spread over are a few. */
const MAX_AUDIENCES = 16;
/** Of the path where a token may be renewed. Each is kept: an upstream that answers under any could have megabytes held for it. */
const MAX_ENDPOINT = 1024;

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json$/;
/** https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md */
const BATCH_TYPE = "application/vnd.git-lfs+json";

const TOKEN_NAME = /^(?:(?:access|id|session|auth|refresh)?_?token|authorization)$/i;
const REFRESH_NAME = /^refresh_?token$/i;
/** What the distribution of container images calls the one that a host referred to. */
const REFERRED_NAME = /^(?:access_?)?token$/i;

interface JsonAnswer extends Issuer {
  /** Says where large files are. */
  readonly isBatch: boolean;
}

/** Texts of an answer, by where what is in them may go. */
type Texts = Map<Audience, string[]>;

/** @param inspector finds what would be found in a request. */
export function createIssuance(inspector: Inspector, tokens: IssuedTokens): Issuance {
  function note(texts: Texts, to: Audience, text: string): void {
    const known = texts.get(to);
    if (known !== undefined) known.push(text);
    else if (texts.size < MAX_AUDIENCES) texts.set(to, [text]);
  }

  function issue(texts: Texts): void {
    for (const [to, all] of texts)
      for (const finding of inspector.scan(Buffer.from(all.join("\n"))))
        if (finding.kind === "pattern" && !isUnread(finding)) tokens.issue(finding.fingerprint, to);
  }

  function noteUrl(texts: Texts, text: string, base?: string): void {
    if (!URL.canParse(text, base)) return;
    const { protocol, hostname, port, pathname, search } = new URL(text, base);
    const host = canonicalHost(hostname);
    if (protocol === "https:" && port === "" && host !== undefined)
      note(texts, inUrl(host), `${pathname}\n${search.slice(1)}`);
  }

  function noteJson(texts: Texts, value: unknown, name: string, depth: number, answer: JsonAnswer): void {
    const { host, path, isBatch } = answer;
    if (typeof value === "string") {
      if (isBatch && name === "href") noteUrl(texts, value);
      if (!TOKEN_NAME.test(name)) return;
      const referrers = depth === 1 && REFERRED_NAME.test(name) ? tokens.referrers(`${host}${path}`) : [];
      for (const each of [host, ...referrers]) note(texts, inHeader(each), value);
      if (REFRESH_NAME.test(name) && path.length <= MAX_ENDPOINT) note(texts, inBody(host, path), value);
    } else if (typeof value === "object" && value !== null && depth < MAX_DEPTH) {
      for (const [key, each] of Object.entries(value)) noteJson(texts, each, key, depth + 1, answer);
    }
  }

  function reader(answer: JsonAnswer): TokenReader {
    let body: Gathered | undefined = new Gathered();
    return {
      push(chunk) {
        body?.push(chunk);
        if (body !== undefined && body.length > MAX_BODY) body = undefined;
      },
      end() {
        const text = (body?.take() ?? "").toString();
        body = undefined;
        if (!answer.isBatch && !/token|authorization/i.test(text)) return;
        const texts: Texts = new Map();
        noteJson(texts, parsed(text), "", 0, answer);
        issue(texts);
      },
    };
  }

  return {
    answer(issuer, { status, headers, bodyless }) {
      const texts: Texts = new Map();
      let readable = !bodyless && (status === 200 || status === 201);
      let type = "";
      for (let i = 0; i < headers.length; i += 2) {
        const value = headers[i + 1] ?? "";
        switch (canonicalName(headers[i] ?? "")) {
          case "set-cookie":
            note(texts, inHeader(issuer.host), value.split(";", 1)[0] ?? "");
            break;
          case "location":
            if (status >= 300 && status < 400) noteUrl(texts, value, `https://${issuer.host}${issuer.path}`);
            break;
          case "www-authenticate": {
            const realm = status === 401 ? realmOf(value) : undefined;
            if (realm !== undefined && isSameSite(realm.host, issuer.host))
              tokens.refer(`${realm.host}${realm.path}`, issuer.host);
            break;
          }
          case "content-type":
            type = value.split(";", 1)[0]?.trim().toLowerCase() ?? "";
            break;
          case "content-length":
            readable &&= Number(value) <= MAX_BODY;
        }
      }
      issue(texts);
      if (!readable || !JSON_TYPE.test(type)) return undefined;
      return reader({ ...issuer, isBatch: type === BATCH_TYPE });
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** https://distribution.github.io/distribution/spec/auth/token/ */
function realmOf(challenge: string): Issuer | undefined {
  const realm = /^bearer\s.*?\brealm="([^"]+)"/i.exec(challenge)?.[1];
  if (realm === undefined || !URL.canParse(realm)) return undefined;
  const { protocol, hostname, port, pathname } = new URL(realm);
  const host = canonicalHost(hostname);
  return protocol === "https:" && port === "" && host !== undefined ? { host, path: pathname } : undefined;
}

/** `co.uk` and its like, below which everybody has a site. */
const PUBLIC_SECOND = /^(?:ac|co|com|edu|go|gob|gov|ne|net|or|org)\.[a-z]{2}$/;

/** Whether two hosts belong to one owner, as far as names say it: `auth.docker.io` and `registry-1.docker.io`. */
function isSameSite(one: string, other: string): boolean {
  return one === other || (siteOf(one) !== undefined && siteOf(one) === siteOf(other));
}

function siteOf(host: string): string | undefined {
  if (/[:]|^[0-9.]+$/.test(host)) return undefined;
  const labels = host.split(".");
  const wanted = PUBLIC_SECOND.test(labels.slice(-2).join(".")) ? 3 : 2;
  return labels.length < wanted ? undefined : labels.slice(-wanted).join(".");
}

/**
 * A registry, as the OCI's distribution specification has it: reading only. Contract:
 * - whoever answers is not believed: what is read is checked against its digest by the caller;
 * - the operator's credential goes to the login that the registry itself names over TLS, and the token it gives to the
 *   registry alone: not to where a registry redirects;
 * - a token is asked for this one repository and for pulling, whatever the registry would have us ask for;
 * - attempts, redirects and sizes are bounded.
 */
import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import * as z from "zod";
import type { RegistryReference } from "../../contract/image.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { imageWord } from "../../plan/image-word.ts";
import { readBounded } from "../layout-image.ts";
import { parseChallenge } from "./challenge.ts";
import { type Credential, findCredential } from "./credentials.ts";
import { ConnectionError, isOwnHost, send, shownUrl } from "./http.ts";

/** To a store, to its mirror, to the mirror's mirror. */
const MAX_REDIRECTS = 5;
/** A network that fails more often than this within a minute is not there. */
const MAX_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 500;
/** A registry that asks for more patience is told to the operator instead. */
const MAX_PAUSE_MS = 30_000;
const MAX_TOKEN_BYTES = 1024 * 1024;
/** Errors are shown, not kept. */
const MAX_ERROR_BYTES = 64 * 1024;

const HUB = { name: "docker.io", host: "registry-1.docker.io" };

const tokenAnswer = z.looseObject({ token: z.string().optional(), access_token: z.string().optional() });
const errorAnswer = z.looseObject({
  errors: z.array(z.looseObject({ code: z.string().optional(), message: z.string().optional() })),
});

export interface Fetched {
  readonly status: number;
  readonly body: IncomingMessage;
}

export interface FetchOptions {
  readonly accept?: string;
  /** The first byte that is wanted. */
  readonly from?: number;
  /** Besides the client's own. */
  readonly signal?: AbortSignal;
}

export class RegistryClient {
  readonly #reference: RegistryReference;
  readonly #base: URL;
  readonly #signal: AbortSignal | undefined;
  #authorization: string | undefined;

  constructor(reference: RegistryReference, signal?: AbortSignal) {
    this.#reference = reference;
    this.#signal = signal;
    const host = reference.host === HUB.name ? HUB.host : reference.host;
    this.#base = new URL(`https://${host}/v2/${reference.repository}/`);
  }

  /**
   * `manifests/<tag or digest>` or `blobs/<digest>`; 200 or, with `from`, 206.
   * @throws UserError for every other answer; ConnectionError when it cannot be reached after several attempts.
   */
  async get(path: string, options: FetchOptions = {}): Promise<Fetched> {
    for (let attempt = 1, pause = FIRST_PAUSE_MS; ; attempt++, pause *= 2) {
      const outcome = await this.#attempt(path, options).catch((error: unknown) => {
        if (!(error instanceof ConnectionError) || error.isTrust || attempt === MAX_ATTEMPTS) throw error;
        // A registry on this host itself seldom has a certificate, and no wire leads there.
        const isPlain = error.speaksNoTls && isOwnHost(this.#base.hostname);
        if (isPlain) this.#base.protocol = "http:";
        return { retryAfterMs: isPlain ? undefined : pause };
      });
      if ("body" in outcome) return outcome;
      if (outcome.retryAfterMs === undefined) continue;
      const wait = Math.max(pause, outcome.retryAfterMs);
      if (attempt === MAX_ATTEMPTS || wait > MAX_PAUSE_MS) {
        throw new UserError(`${this.#base.host} is too busy to give ${this.#name()}`, {
          hint: "try again later",
        });
      }
      await sleep(wait, undefined, { signal: this.#stop(options) });
    }
  }

  async #attempt(path: string, options: FetchOptions): Promise<Fetched | { retryAfterMs: number }> {
    const url = new URL(`${this.#base.href}${path}`);
    let response = await this.#follow(url, options);
    if (response.statusCode === 401) {
      response.resume();
      await this.#authorize(response.headers["www-authenticate"]);
      response = await this.#follow(url, options);
    }
    const status = response.statusCode ?? 0;
    if (status === 200 || (status === 206 && options.from !== undefined)) return { status, body: response };
    if (status === 416 && options.from !== undefined) {
      response.resume();
      return { status, body: response };
    }
    if (status === 429 || status >= 500) {
      response.resume();
      return { retryAfterMs: Number(response.headers["retry-after"] ?? 0) * 1_000 || 0 };
    }
    throw await this.#refusal(status, response);
  }

  async #follow(start: URL, options: FetchOptions): Promise<IncomingMessage> {
    let url = start;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      // A store elsewhere has its own way to know what was signed for it, and would get the operator's token.
      const isRegistry = url.origin === this.#base.origin;
      const response = await send(url, {
        headers: {
          ...(options.accept !== undefined && { accept: options.accept }),
          ...(options.from !== undefined && { range: `bytes=${options.from}-` }),
          ...(isRegistry && this.#authorization !== undefined && { authorization: this.#authorization }),
        },
        signal: this.#stop(options),
        registry: this.#base.host,
      });
      if (response.statusCode === 401 && !isRegistry) {
        response.resume();
        // What it would be told is the registry's login, at a place of its own choosing.
        throw new UserError(`${shownUrl(url)} asks for a login, and ${this.#base.host} only redirects to it`);
      }
      const { location } = response.headers;
      if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined)
        return response;
      response.resume();
      if (!URL.canParse(location, url.href)) throw new UserError(`${shownUrl(url)} redirects to nowhere`);
      url = new URL(location, url);
      this.#refuseOwnHost(url);
    }
    throw new UserError(`${shownUrl(start)} redirects more than ${MAX_REDIRECTS} times`);
  }

  #stop({ signal }: FetchOptions): AbortSignal {
    return AbortSignal.any([signal, this.#signal].flatMap((each) => each ?? []));
  }

  async #authorize(header: string | undefined): Promise<void> {
    const challenge = parseChallenge(header);
    if (challenge === undefined)
      throw new UserError(`${this.#base.host} asks for a login of a kind that is not known`);
    const { host, repository } = this.#reference;
    const credential = await findCredential({ host, repository });
    switch (challenge.scheme) {
      case "basic":
        if (credential?.kind !== "password") throw this.#needsLogin();
        this.#authorization = basic(credential);
        return;
      case "bearer":
        this.#authorization = `Bearer ${await this.#token(challenge.realm, challenge.service, credential)}`;
    }
  }

  async #token(
    realm: string,
    service: string | undefined,
    credential: Credential | undefined,
  ): Promise<string> {
    if (!URL.canParse(realm)) throw new UserError(`${this.#base.host} names no address for its login`);
    const url = new URL(realm);
    this.#refuseOwnHost(url);
    const scope = `repository:${this.#reference.repository}:pull`;
    const query = { ...(service !== undefined && { service }), scope };
    const context = { registry: this.#base.host, ...(this.#signal && { signal: this.#signal }) };
    let response: IncomingMessage;
    if (credential?.kind === "identity-token") {
      const form = {
        ...query,
        grant_type: "refresh_token",
        client_id: "bot-bottle",
        refresh_token: credential.token,
      };
      response = await send(url, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams(form).toString(),
        ...context,
      });
    } else {
      for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
      response = await send(url, {
        headers: credential ? { authorization: basic(credential) } : {},
        ...context,
      });
    }
    const status = response.statusCode ?? 0;
    if (status === 401 || status === 403) {
      response.resume();
      throw this.#needsLogin();
    }
    const bytes = await readBounded(response, MAX_TOKEN_BYTES, `the answer of ${shownUrl(url)}`);
    const token = status === 200 ? tokenIn(bytes) : undefined;
    if (token === undefined) throw new UserError(`${shownUrl(url)} gave no token (status ${status})`);
    return token;
  }

  /** A registry elsewhere has no business with what listens on this host. */
  #refuseOwnHost(url: URL): void {
    if (!isOwnHost(url.hostname) || isOwnHost(this.#base.hostname)) return;
    throw new UserError(`${this.#base.host} sends us to ${shownUrl(url)}, which is this host itself`);
  }

  async #refusal(status: number, response: IncomingMessage): Promise<UserError> {
    const bytes = await readBounded(response, MAX_ERROR_BYTES, "an error").catch(() => Buffer.alloc(0));
    const said = saidIn(bytes);
    switch (status) {
      case 401:
      case 403:
        return this.#needsLogin();
      case 404:
        return new UserError(`${this.#base.host} has no ${this.#name()}${said}`, {
          hint: "see that its name and tag are right; a private one may look as if it were not there: docker login",
        });
      default:
        return new UserError(`${this.#base.host} does not give ${this.#name()}: status ${status}${said}`);
    }
  }

  #needsLogin(): UserError {
    return new UserError(`${this.#base.host} does not let you have ${this.#name()}`, {
      hint: `docker login ${this.#reference.host}, or podman login; bottle image build reads what they write`,
    });
  }

  #name(): string {
    return printable(imageWord({ kind: "registry", ...this.#reference }));
  }
}

function basic(credential: Extract<Credential, { kind: "password" }>): string {
  return `Basic ${Buffer.from(`${credential.user}:${credential.password}`).toString("base64")}`;
}

function tokenIn(bytes: Buffer): string | undefined {
  const parsed = tokenAnswer.safeParse(jsonOf(bytes));
  const token = parsed.success ? (parsed.data.token ?? parsed.data.access_token) : undefined;
  // It becomes a header.
  return token !== undefined && /^[\x21-\x7e]+$/.test(token) ? token : undefined;
}

function saidIn(bytes: Buffer): string {
  const parsed = errorAnswer.safeParse(jsonOf(bytes));
  const first = parsed.success ? parsed.data.errors[0] : undefined;
  const text = first?.message ?? first?.code;
  return text === undefined ? "" : ` (${printable(text)})`;
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}

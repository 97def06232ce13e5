/**
 * Deploy keys by Gitea's API (`/api/v1/swagger`: repoCreateKey, repoListKeys, repoDeleteKey), which Forgejo has as
 * well. The operator's token is presented to that server alone, over TLS; an answer is bounded, follows no redirect,
 * and is shown without control characters.
 */
import { request } from "node:https";
import * as z from "zod";
import { codeOf, messageOf, UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";

const MAX_ANSWER_BYTES = 1024 * 1024;
/** A launch and a teardown wait for it. */
const TIMEOUT_MS = 15_000;

export interface GiteaRepository {
  /** `https://git.example.com`, without a slash at the end. */
  readonly server: string;
  /** `owner/name`. */
  readonly repository: string;
  /** Secret. */
  readonly token: string;
  /** PEM texts; when there are any, the server's certificate must come from one of them. */
  readonly authorities: readonly string[];
}

const keySchema = z.object({ id: z.number().int(), fingerprint: z.string().optional() });

/** Gives the repository a key that may push. @returns the forge's number for it. @throws UserError */
export async function addDeployKey(
  at: GiteaRepository,
  key: { readonly title: string; readonly publicKey: string },
): Promise<number> {
  const body = { title: key.title, key: key.publicKey, read_only: false };
  const answer = await ask(at, "POST", keysPath(at), body);
  if (answer.status !== 201) throw refused(at, `did not take a deploy key for ${at.repository}`, answer);
  const parsed = keySchema.safeParse(parseJson(answer.body));
  if (!parsed.success)
    throw new UserError(`${at.server} took a deploy key for ${at.repository}, and did not say its id`);
  return parsed.data.id;
}

/** The forge's number for a key, when it has it. @throws UserError */
export async function findDeployKey(at: GiteaRepository, fingerprint: string): Promise<number | undefined> {
  const answer = await ask(at, "GET", `${keysPath(at)}?fingerprint=${encodeURIComponent(fingerprint)}`);
  if (answer.status === 404) return undefined;
  const parsed = z.array(keySchema).safeParse(parseJson(answer.body));
  if (answer.status !== 200 || !parsed.success) {
    throw refused(at, `did not list the deploy keys of ${at.repository}`, answer);
  }
  // Older servers know no filter.
  return parsed.data.find((each) => each.fingerprint === fingerprint)?.id;
}

/** Takes it away; one that is gone already is fine. @throws UserError */
export async function removeDeployKey(at: GiteaRepository, id: number): Promise<void> {
  const answer = await ask(at, "DELETE", `${keysPath(at)}/${id}`);
  if (answer.status === 204 || answer.status === 404) return;
  throw refused(at, `did not remove deploy key ${id} of ${at.repository}`, answer);
}

/** Where a person removes it. */
export function deployKeysPage({
  server,
  repository,
}: Pick<GiteaRepository, "server" | "repository">): string {
  return `${server}/${repository}/settings/keys`;
}

function keysPath({ repository }: GiteaRepository): string {
  return `/api/v1/repos/${repository.split("/").map(encodeURIComponent).join("/")}/keys`;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(at: GiteaRepository, method: string, path: string, body?: unknown): Promise<Answer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      call.destroy();
      reject(new UserError(`cannot reach ${at.server}: ${why}`));
    };
    const call = request(`${at.server}${path}`, {
      method,
      headers: {
        authorization: `token ${at.token}`,
        accept: "application/json",
        ...(text !== undefined && {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(text),
        }),
      },
      agent: false,
      ...(at.authorities.length > 0 && { ca: [...at.authorities] }),
    });
    const timer = setTimeout(() => fail(`no answer within ${TIMEOUT_MS / 1000} seconds`), TIMEOUT_MS);
    call.on("error", (error) => {
      clearTimeout(timer);
      fail(codeOf(error) ?? printable(messageOf(error)));
    });
    call.on("response", (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("error", (error) => fail(printable(messageOf(error))));
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) fail("its answer is too long");
        else chunks.push(chunk);
      });
      response.on("end", () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") });
      });
    });
    call.end(text);
  });
}

const errorSchema = z.object({ message: z.string() });

function refused(at: GiteaRepository, what: string, { status, body }: Answer): UserError {
  const said = errorSchema.safeParse(parseJson(body));
  const words = said.success && said.data.message !== "" ? `: ${printable(said.data.message, 300)}` : "";
  return new UserError(`${at.server} ${what} (${status}${words.replaceAll(at.token, "…")})`, hintFor(status));
}

function hintFor(status: number): { hint?: string } {
  if (status === 401 || status === 403) {
    return {
      hint: "its token needs the scope write:repository, from somebody who administers the repository",
    };
  }
  if (status === 404)
    return { hint: "check the repository's name, and that the token's owner administers it" };
  return {};
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

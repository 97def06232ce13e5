/**
 * A stand-in for Gitea's deploy keys, from its published API (repoListKeys, repoGetKey, repoCreateKey, repoDeleteKey of
 * `/api/v1/swagger`) and its messages: tokens, write scopes, titles and contents that may be used once, 404 for what
 * somebody may not see. Keys that it holds can be given to an sshd.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { ServerIdentity } from "../../demo/upstreams/certificate-authority.ts";

export interface GiteaKey {
  readonly id: number;
  readonly key_id: number;
  readonly title: string;
  readonly key: string;
  readonly fingerprint: string;
  readonly read_only: boolean;
  readonly url: string;
  readonly created_at: string;
}

export interface Gitea {
  readonly port: number;
  /** `POST /api/v1/repos/o/r/keys 201`. */
  readonly requests: readonly string[];
  keys(repository: string): readonly GiteaKey[];
  /** The next requests with this method are answered so instead. */
  fail(method: string, status: number, body: string): void;
  heal(): void;
  close(): Promise<void>;
}

interface Account {
  readonly token: string;
  /** `owner/name` that it administers. */
  readonly repositories: readonly string[];
  readonly scope: "write:repository" | "read:repository";
}

export async function startGitea(tls: ServerIdentity, accounts: readonly Account[]): Promise<Gitea> {
  const repositories = new Map<string, GiteaKey[]>();
  for (const { repositories: names } of accounts)
    for (const name of names) repositories.set(name, repositories.get(name) ?? []);
  const requests: string[] = [];
  const failures = new Map<string, { status: number; body: string }>();
  let nextId = 1;

  type Answer = { readonly status: number; readonly body?: unknown };
  const answer = async (request: IncomingMessage): Promise<Answer> => {
    const url = new URL(request.url ?? "/", "https://gitea");
    const failure = failures.get(request.method ?? "");
    if (failure !== undefined) return { status: failure.status, body: failure.body };
    const account = accounts.find(({ token }) => request.headers.authorization === `token ${token}`);
    if (account === undefined) {
      return { status: 401, body: { message: "invalid username, password or token", url: "" } };
    }
    const match = /^\/api\/v1\/repos\/([^/]+)\/([^/]+)\/keys(?:\/(\d+))?$/.exec(url.pathname);
    const name =
      match === null ? "" : `${decodeURIComponent(match[1] ?? "")}/${decodeURIComponent(match[2] ?? "")}`;
    const keys = repositories.get(name);
    if (keys === undefined || !account.repositories.includes(name)) {
      return { status: 404, body: { errors: [], message: "The target couldn't be found.", url: "" } };
    }
    if (request.method !== "GET" && account.scope !== "write:repository") {
      const message = `token does not have at least one of required scope(s), required=[write:repository], token scope=${account.scope}`;
      return { status: 403, body: { message, url: "" } };
    }
    const id = match?.[3] === undefined ? undefined : Number(match[3]);
    switch (request.method) {
      case "GET": {
        const fingerprint = url.searchParams.get("fingerprint");
        if (id !== undefined) {
          const found = keys.find((key) => key.id === id);
          return found === undefined
            ? { status: 404, body: { message: "not found" } }
            : { status: 200, body: found };
        }
        return {
          status: 200,
          body: keys.filter((key) => fingerprint === null || key.fingerprint === fingerprint),
        };
      }
      case "POST": {
        const body = JSON.parse(await textOf(request)) as {
          title?: string;
          key?: string;
          read_only?: boolean;
        };
        const fault = faultOf(body.key ?? "", body.title ?? "", keys);
        if (fault !== undefined) return { status: 422, body: { message: fault, url: "" } };
        const key: GiteaKey = {
          ...{ id: nextId, key_id: nextId + 100, title: body.title ?? "", key: body.key ?? "" },
          fingerprint: fingerprintOf(body.key ?? ""),
          read_only: body.read_only ?? false,
          url: `https://gitea/api/v1/repos/${name}/keys/${nextId++}`,
          created_at: new Date().toISOString(),
        };
        keys.push(key);
        return { status: 201, body: key };
      }
      case "DELETE": {
        const index = keys.findIndex((key) => key.id === id);
        if (index >= 0) keys.splice(index, 1);
        // Also when there was none: the service takes that for done.
        return { status: 204 };
      }
      default:
        return { status: 405, body: { message: "Method Not Allowed" } };
    }
  };

  const server = createServer({ key: tls.key, cert: tls.certificate }, (request, response) => {
    answer(request).then(
      ({ status, body }) => {
        requests.push(`${request.method} ${request.url} ${status}`);
        response.writeHead(status, { "content-type": "application/json;charset=utf-8" });
        response.end(typeof body === "string" ? body : body === undefined ? "" : JSON.stringify(body));
      },
      () => response.destroy(),
    );
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    keys: (repository) => repositories.get(repository) ?? [],
    fail: (method, status, body) => void failures.set(method, { status, body }),
    heal: () => failures.clear(),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function faultOf(key: string, title: string, keys: readonly GiteaKey[]): string | undefined {
  if (title === "") return "[Title]: Required";
  if (!/^(ssh-ed25519|ssh-rsa|ecdsa-\S+) [A-Za-z0-9+/=]+( .*)?$/.test(key)) {
    return "Invalid key content: key is not valid";
  }
  if (keys.some((each) => each.key === key)) return "This key has already been added to this repository";
  if (keys.some((each) => each.title === title)) return "A key with the same name already exists";
  return undefined;
}

function fingerprintOf(key: string): string {
  const blob = Buffer.from(key.split(" ")[1] ?? "", "base64");
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return text;
}

/** git's own smart HTTP over TLS: `git http-backend` behind a server that any certificate can be given to. */
import { spawn } from "node:child_process";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { ServerIdentity } from "../../../demo/upstreams/certificate-authority.ts";

export interface GitSite {
  readonly port: number;
  /** Method and target of each request. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

/** Serves the repositories below `root`: for reading, or, with a credential, to whoever has it for writing too. */
export async function startGitSite(
  tls: ServerIdentity,
  root: string,
  credential?: { readonly username: string; readonly token: string },
  host = "127.0.0.1",
): Promise<GitSite> {
  const requests: string[] = [];
  const expected = credential && Buffer.from(`${credential.username}:${credential.token}`).toString("base64");
  const server = createServer({ key: tls.key, cert: tls.certificate }, (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (expected !== undefined && request.headers.authorization !== `Basic ${expected}`) {
      request.resume();
      response.writeHead(401, { "WWW-Authenticate": 'Basic realm="site"' }).end();
      return;
    }
    const url = new URL(request.url ?? "/", "https://site");
    const backend = spawn("git", ["http-backend"], {
      env: {
        PATH: process.env["PATH"],
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: "1",
        // The folder may belong to another user than the one this runs as.
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "safe.directory",
        GIT_CONFIG_VALUE_0: "*",
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method,
        ...(credential !== undefined && { REMOTE_USER: credential.username }),
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
        GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      },
      stdio: ["pipe", "pipe", "ignore"],
    });
    backend.stdin.on("error", () => {});
    request.pipe(backend.stdin);
    const chunks: Buffer[] = [];
    backend.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    backend.once("close", () => {
      const output = Buffer.concat(chunks);
      const split = output.indexOf("\r\n\r\n");
      const headers = output
        .subarray(0, split)
        .toString("latin1")
        .split("\r\n")
        .map((line) => line.split(/:\s*/, 2) as [string, string]);
      const status = headers.find(([name]) => name === "Status")?.[1];
      response.writeHead(
        status === undefined ? 200 : Number.parseInt(status, 10),
        Object.fromEntries(headers),
      );
      response.end(output.subarray(split + 4));
    });
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

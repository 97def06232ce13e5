/** An npm registry with one package in it, for the real npm client. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface NpmRegistry {
  /** For `npm_config_registry`. */
  readonly url: string;
  /** Of the tarball that is served now. */
  integrity(): string;
  readonly downloads: number;
  /** From now on: other bytes under the same version. */
  serve(tarball: Buffer): void;
  /** From now on: every request is answered with this status. */
  fail(status: number | undefined): void;
  /** Holds the next downloads back until the returned function is called. */
  holdDownloads(): () => void;
  close(): Promise<void>;
}

export async function startNpmRegistry(name: string, version: string, first: Buffer): Promise<NpmRegistry> {
  let tarball = first;
  let status: number | undefined;
  let downloads = 0;
  let gate: Promise<void> = Promise.resolve();
  const server = createServer((request, response) => {
    response.on("error", () => {});
    const path = decodeURIComponent(request.url ?? "");
    if (status !== undefined) {
      response.writeHead(status, { "content-type": "application/json" }).end('{"error":"as told"}');
    } else if (path === "/thing.tgz") {
      downloads += 1;
      void gate.then(() => response.end(tarball));
    } else if (path === `/${name}`) {
      const dist = { tarball: `${url}/thing.tgz`, integrity: integrityOf(tarball) };
      const versions = { [version]: { name, version, dist } };
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ name, "dist-tags": { latest: version }, versions }));
    } else {
      response.writeHead(404, { "content-type": "application/json" }).end("{}");
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    integrity: () => integrityOf(tarball),
    get downloads() {
      return downloads;
    },
    serve(next) {
      tarball = next;
    },
    fail(next) {
      status = next;
    },
    holdDownloads() {
      let release = (): void => {};
      gate = new Promise((resolve) => {
        release = resolve;
      });
      return release;
    },
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function integrityOf(bytes: Buffer): string {
  return `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
}

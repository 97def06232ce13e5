/** A listening Unix socket for a program that is born with it: it can name no path, and opens no channel of its own. */
import { rename } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { checkSocketPath } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";

export interface BornListener {
  /** For `extraFds`. */
  readonly fd: number;
  readonly server: Server;
  /** Ours, once the program has its copy: with it closed, a program that is gone refuses instead of leaving us waiting. */
  close(): void;
}

/** Closing a server removes the path it was bound to; under another name the socket stays, for the program's copy. */
export async function listenFor(path: string, scope: Scope): Promise<BornListener> {
  const server = createServer();
  const boundPath = checkSocketPath(`${path}~`);
  await removeTree(boundPath);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(boundPath, resolve);
  });
  await rename(boundPath, path).finally(() =>
    scope.defer("socket", async () => {
      server.close();
      await removeTree(path);
    }),
  );
  return { fd: listeningFd(server), server, close: () => void server.close() };
}

/** Node hands a listening socket to another program only by its number. */
function listeningFd(server: Server): number {
  const handle = (server as unknown as { readonly _handle?: { readonly fd?: number } })._handle;
  if (handle?.fd === undefined || handle.fd < 0)
    throw new Error("this Node does not tell a socket's descriptor");
  return handle.fd;
}

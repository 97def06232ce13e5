/** Where a sidecar listens, however it came by its socket. */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { createServer, type Server, type ServerOpts, type Socket } from "node:net";
import { messageOf, UserError } from "./errors.ts";

export type ListenPlace =
  | { readonly kind: "inherited" }
  /** `mode`: who may connect, when that is not its folder's to say. */
  | { readonly kind: "unix"; readonly path: string; readonly mode?: number | undefined }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/**
 * Serves every connection from now on.
 *
 * @param inherited listens already; it is what `kind: "inherited"` asks for.
 * @throws UserError when there is no such place.
 */
export async function listen(
  where: ListenPlace,
  inherited: Server | undefined,
  serve: (socket: Socket) => void,
  options: ServerOpts = {},
): Promise<Server> {
  if (where.kind === "inherited") {
    if (inherited === undefined) throw new UserError("no listening handle was handed over");
    // Until now somebody closed what came.
    inherited.removeAllListeners("connection").on("connection", serve);
    inherited.on("error", passOver);
    return inherited;
  }
  const server = createServer({ ...options, noDelay: true }, serve);
  // One that was killed has left its name behind.
  if (where.kind === "unix" && lstatSync(where.path, { throwIfNoEntry: false })?.isSocket())
    unlinkSync(where.path);
  const address = where.kind === "unix" ? { path: where.path } : { host: where.host, port: where.port };
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(new UserError(`cannot listen: ${messageOf(error)}`)));
    server.listen(address, resolve);
  });
  if (where.kind === "unix" && where.mode !== undefined) chmodSync(where.path, where.mode);
  server.on("error", passOver);
  return server;
}

/** Errors of a server that listens are about single connections (out of file descriptors), and pass. */
function passOver(): void {}

/** What was really bound, for people and tests. */
export function listeningOn(server: Server, where: ListenPlace): string {
  if (where.kind === "inherited") return "inherited";
  if (where.kind === "unix") return where.path;
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? where.port) : where.port;
  return where.host.includes(":") ? `[${where.host}]:${port}` : `${where.host}:${port}`;
}

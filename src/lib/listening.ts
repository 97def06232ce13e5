/** Where a sidecar listens, however it came by its socket. */
import { createServer, type Server, type ServerOpts, type Socket } from "node:net";
import { messageOf, UserError } from "./errors.ts";

export type ListenPlace =
  | { readonly kind: "inherited" }
  | { readonly kind: "unix"; readonly path: string }
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
  const address = where.kind === "unix" ? { path: where.path } : { host: where.host, port: where.port };
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(new UserError(`cannot listen: ${messageOf(error)}`)));
    server.listen(address, resolve);
  });
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

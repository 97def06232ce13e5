/**
 * `bottle port`: a server that the agent started, on this host's loopback, for as long as the command runs. Each
 * connection is one through the keeper; the guest's side of it is hostile, and gets what it sends to whoever connected.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { connectKeeper, type Keeper } from "../../keeper/control-client.ts";
import { connectStreams } from "../../keeper/session-streams.ts";
import { codeOf, messageOf, UserError } from "../../lib/errors.ts";
import { print, printJson, tell } from "../output.ts";

/** Never another: whoever reaches it is somebody on this host. */
const LOOPBACK = "127.0.0.1";
/** A browser opens some six; each is one of the 256 that the keeper answers, who has to hear a `bottle stop` too. */
const MAX_CONNECTIONS = 64;

/** @returns 0 once interrupted, 1 when the bottle ended meanwhile. */
export async function port(id: string, ports: string, flags: { readonly json?: true }): Promise<number> {
  const { local, inGuest } = parsePorts(ports);
  const keeper = await connectKeeper(id);
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  const live = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    client.on("error", () => {});
    live.add(client);
    client.once("close", () => live.delete(client));
    pass(keeper, inGuest, client).catch((error: unknown) => {
      client.destroy();
      tell(messageOf(error));
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  const bound = await listen(server, local);
  const opened = { id, port: inGuest, host: LOOPBACK, local: bound };
  if (flags.json) printJson(opened);
  else {
    print(`${LOOPBACK}:${bound}`);
    tell(`port ${inGuest} of ${id}, for whoever is on this host; Ctrl-C closes it`);
  }
  const watch = keeper.watchInbox(() => {});
  const ended = watch.ended.then(() => !interrupted.signal.aborted);
  const isBottleGone = await Promise.race([
    ended,
    new Promise<false>((resolve) => {
      const give = (): void => resolve(false);
      if (interrupted.signal.aborted) give();
      else interrupted.signal.addEventListener("abort", give, { once: true });
    }),
  ]);
  watch.close();
  server.close();
  for (const client of live) client.destroy();
  await once(server, "close");
  if (!isBottleGone) return 0;
  tell(`bottle ${id} has ended`);
  return 1;
}

/** `3000`, or `8080:3000` for another one here; `0:3000` for any that is free. */
function parsePorts(text: string): { readonly local: number; readonly inGuest: number } {
  const [, local, inGuest = ""] = /^(?:(\d{1,5}):)?(\d{1,5})$/.exec(text) ?? [];
  const parsed = { local: Number(local ?? inGuest), inGuest: Number(inGuest) };
  if (parsed.inGuest >= 1 && parsed.inGuest <= 65_535 && parsed.local <= 65_535) return parsed;
  throw new UserError(`${text} is no port`, {
    hint: "3000, or 8080:3000 for another one on this host (0:3000 for any that is free)",
    exitCode: 2,
  });
}

async function listen(server: Server, local: number): Promise<number> {
  try {
    server.listen(local, LOOPBACK);
    await once(server, "listening");
  } catch (cause) {
    throw new UserError(`cannot listen on ${LOOPBACK}:${local}: ${codeOf(cause) ?? messageOf(cause)}`, {
      hint: "name another port for this host: bottle port <id> 0:3000 takes one that is free",
      cause,
    });
  }
  server.on("error", () => {});
  return (server.address() as AddressInfo).port;
}

async function pass(keeper: Keeper, inGuest: number, client: Socket): Promise<void> {
  const there = await keeper.dial(inGuest);
  // While the keeper asked, this end may have gone, and tells nobody of it any more.
  if (client.destroyed) there.destroy();
  else connectStreams(client, there);
}

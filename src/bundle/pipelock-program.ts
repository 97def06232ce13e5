/** The operator's own pipelock: found before anything starts, because without it the bottle would have no way out. */
import { realpathSync } from "node:fs";
import { createServer } from "node:net";
import { UserError } from "../lib/errors.ts";
import { programOnPath } from "../lib/program-on-path.ts";

/** Where its sidecar finds it that was brought from the host. */
export const PIPELOCK_INSIDE = "/opt/pipelock/pipelock";
/** In the bundle's container everything is the bundle's: pipelock's own default. */
const CONTAINED_PORT = 8888;

/** Absolute, links followed; undefined when there is none on `PATH`. */
function findPipelock(): string | undefined {
  const found = programOnPath("pipelock");
  return found === undefined ? undefined : realpathSync(found);
}

/** The one that a container of this host can run: not a Mac's. */
export function broughtPipelock(): string | undefined {
  return process.platform === "linux" ? findPipelock() : undefined;
}

/** @throws UserError where there is none, with the ways to one. */
export function thePipelock(): string {
  const found = findPipelock();
  if (found !== undefined) return found;
  throw new UserError("the bottle has egress.pipelock, and there is no pipelock on your PATH", {
    hint: "brew install luckyPipewrench/tap/pipelock, or take a release from github.com/luckyPipewrench/pipelock",
  });
}

/** A port for one that shares the host's loopback, or the only one of its container's. */
export function pipelockPort(contained: boolean): Promise<number> {
  if (contained) return Promise.resolve(CONTAINED_PORT);
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/**
 * A loopback address of a bottle's own, where there is no room for its VMM (macOS): one of sixteen. Which ones are
 * taken is asked of the kernel and kept nowhere: whoever has bound the claim's port there has the address, and loses it
 * when he ends, however he ends. So no two launches can take the same, whoever runs them.
 */
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import type { HostStep } from "../../contract/backend.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { run } from "../../lib/processes.ts";
import type { Scope } from "../../lib/scope.ts";

/** 127.0.0.16 to 127.0.0.31: as many bottles at once as a laptop runs. */
export const ALIASES: readonly string[] = Array.from({ length: 16 }, (_, i) => `127.0.0.${16 + i}`);

/** UDP, so that it is none of the ports by which the bundle is reached; nobody answers there. */
export const CLAIM_PORT = 9_098;
const COMMAND_TIMEOUT_MS = 10_000;

/**
 * Takes the lowest free one, for as long as the scope is open.
 * @throws UserError when all sixteen are in use, or they have to be made first.
 */
export async function takeAlias(scope: Scope, platform: NodeJS.Platform = process.platform): Promise<string> {
  if (platform === "darwin") await requirePool();
  for (const alias of ALIASES) {
    const claim = await bound(alias);
    if (claim === undefined) continue;
    scope.defer("loopback alias", () => new Promise<void>((resolve) => claim.close(() => resolve())));
    return alias;
  }
  throw new UserError(`all ${ALIASES.length} loopback addresses for bottles are in use`, {
    hint: "bottle list, then bottle stop one of them",
  });
}

function bound(address: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", (error) => {
      socket.close();
      if (codeOf(error) === "EADDRINUSE") resolve(undefined);
      else
        reject(
          new UserError(`cannot use the loopback address ${address}: ${codeOf(error)}`, { cause: error }),
        );
    });
    socket.bind({ address, port: CLAIM_PORT, exclusive: true }, () => {
      socket.on("error", () => {});
      socket.on("message", () => {});
      socket.unref();
      resolve(socket);
    });
  });
}

/** What makes those of the pool that are missing on `lo0`; all of them are, after each boot of the host. */
export function poolCommand(present: readonly string[]): string | undefined {
  const missing = ALIASES.filter((alias) => !present.includes(alias));
  if (missing.length === 0) return undefined;
  return `for a in ${missing.join(" ")}; do ifconfig lo0 alias $a up; done`;
}

function presentHere(): readonly string[] {
  return (networkInterfaces()["lo0"] ?? []).map(({ address }) => address);
}

/** macOS, where the operator is asked by sudo, on his terminal, once after each boot; untried there. */
export function poolStep(
  platform: NodeJS.Platform = process.platform,
  present = presentHere(),
): HostStep | undefined {
  const command = platform === "darwin" ? poolCommand(present) : undefined;
  return command === undefined
    ? undefined
    : {
        why: "the loopback addresses for bottles are made anew after each boot",
        argv: ["sudo", "sh", "-c", command],
      };
}

async function requirePool(): Promise<void> {
  const command = poolCommand(presentHere());
  if (command === undefined) return;
  // This process has no terminal to be asked on: sudo may remember, else the operator is told.
  await run(["sudo", "-n", "sh", "-c", command], { timeoutMs: COMMAND_TIMEOUT_MS }).catch(() => {});
  if (poolCommand(presentHere()) === undefined) return;
  throw new UserError("the loopback addresses for bottles are not there (they are gone after each boot)", {
    hint: `sudo sh -c '${command}'`,
  });
}

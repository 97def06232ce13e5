/**
 * The operator's ssh-agent as git-gate sees it: keys can be listed and asked to sign, and nothing else. A gate that was
 * taken over can then neither load, drop nor lock a key of theirs, nor ask an agent extension for anything; it also
 * gets by where the agent would not talk to it, which under root runs as another user.
 * Protocol: draft-ietf-sshm-ssh-agent.
 */
import { chown } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { isRoot } from "../jail/host-uid.ts";
import { checkSocketPath, makePrivateDir } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";

const REQUEST_IDENTITIES = 11;
const SIGN_REQUEST = 13;
const EXTENSION = 27;
/** How ssh says for which connection it wants to sign: a key that was bound to hosts needs it. */
const SESSION_BIND = "session-bind@openssh.com";
const FAILURE = Buffer.from([0, 0, 0, 1, 5]);

/** OpenSSH's own bound of an agent's message. */
const MAX_MESSAGE_BYTES = 256 * 1024;
/** A push opens one or two. */
const MAX_CONNECTIONS = 16;

/**
 * Listens on `path`, whose folder is made for whoever runs as `uid`.
 * @param agent the operator's `SSH_AUTH_SOCK`.
 */
export async function relayAgent(
  { agent, path, uid }: { readonly agent: string; readonly path: string; readonly uid: number },
  scope: Scope,
): Promise<void> {
  const folder = dirname(path);
  scope.defer("ssh-agent relay's folder", () => removeTree(folder));
  await makePrivateDir(folder);
  const server = createServer((client) => relay(client, agent));
  server.maxConnections = MAX_CONNECTIONS;
  server.on("error", () => {});
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(checkSocketPath(path), resolve);
  });
  scope.defer("ssh-agent relay", () => void server.close());
  if (!isRoot()) return;
  await chown(path, uid, uid);
  await chown(folder, uid, uid);
}

function relay(client: Socket, agent: string): void {
  client.on("error", () => client.destroy());
  const upstream = connect(agent);
  upstream.on("error", () => client.destroy());
  upstream.on("close", () => client.destroy());
  client.on("close", () => upstream.destroy());
  upstream.pipe(client, { end: false });
  let pending: Buffer = Buffer.alloc(0);
  client.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 4) {
      const length = pending.readUInt32BE(0);
      if (length === 0 || length > MAX_MESSAGE_BYTES) return void client.destroy();
      if (pending.length < 4 + length) return;
      const message = pending.subarray(0, 4 + length);
      pending = pending.subarray(4 + length);
      if (isAllowed(message.subarray(4))) upstream.write(message);
      // Asked one after the other, as ssh does, an answer of ours is never out of turn.
      else client.write(FAILURE);
    }
  });
}

function isAllowed(message: Buffer): boolean {
  switch (message[0]) {
    case REQUEST_IDENTITIES:
    case SIGN_REQUEST:
      return true;
    case EXTENSION: {
      if (message.length < 5) return false;
      return message.subarray(5, 5 + message.readUInt32BE(1)).toString("latin1") === SESSION_BIND;
    }
    default:
      return false;
  }
}

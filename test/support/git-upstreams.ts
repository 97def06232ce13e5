/** What the gate is told of a bare repository that lies behind a real sshd or a real web server. */
import { rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { GitUpstream } from "../../src/contract/git-gate.ts";
import { bareUpstream } from "./git-gate.ts";
import { type GitSite, startGitSite } from "./git-site.ts";
import type { Sshd } from "./sshd.ts";
import type { TestCa } from "./test-ca.ts";

type SshUpstream = Extract<GitUpstream, { kind: "ssh" }>;
type HttpsUpstream = Extract<GitUpstream, { kind: "https" }>;

/** With the key that the sshd lets in, and its own pinned. */
export function overSsh(sshd: Sshd, path: string, change: Partial<SshUpstream> = {}): SshUpstream {
  return {
    kind: "ssh",
    user: sshd.user,
    host: "127.0.0.1",
    port: sshd.port,
    path,
    key: { kind: "private-key", text: sshd.privateKey },
    hostKeys: [sshd.hostKey],
    ...change,
  };
}

export const CREDENTIAL = {
  username: "x-access-token",
  token: ["upstream", "token", "Zq81LmVx"].join("-"),
};

/** All of the folder in which it lies, to who presents {@link CREDENTIAL}. */
export async function overHttps(
  ca: TestCa,
  bare: string,
): Promise<{ readonly upstream: HttpsUpstream; readonly server: GitSite }> {
  const server = await startGitSite(await ca.issue(["localhost"]), dirname(bare), CREDENTIAL);
  const url = `https://localhost:${server.port}/${basename(bare)}`;
  return { server, upstream: { kind: "https", url, credential: CREDENTIAL, ca: [ca.certificate] } };
}

/** A new one, and what removes it. */
export async function newUpstream(closing: (() => unknown)[]): Promise<string> {
  const bare = await bareUpstream();
  closing.push(() => rm(dirname(bare), { recursive: true, force: true }));
  return bare;
}

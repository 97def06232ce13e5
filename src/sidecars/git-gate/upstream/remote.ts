/**
 * An upstream as git is told of it. Contract: no secret is in an argument, an environment or a file. A token goes
 * through file descriptor 3 to the one who asks for a credential; a private key is held by an ssh-agent of our own.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { GitGateConfig, GitUpstream } from "../../../contract/git-gate.ts";
import { printable } from "../../../lib/printable.ts";
import type { Home } from "../git/settings.ts";
import { LIMITS } from "../limits.ts";
import { type KeyHolder, startKeyHolder } from "./key-holder.ts";
import { createSshMaster, fitsSocket, NO_MASTER } from "./ssh-master.ts";
import { HOST_ALIAS, knownHosts, sshSettings } from "./ssh-settings.ts";

export interface Remote {
  readonly kind: GitUpstream["kind"];
  /** What git dials; holds no secret, and for ssh no host either. */
  readonly url: string;
  /** `-c` settings that belong to it. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Written to file descriptor 3. */
  readonly credential?: string;
  /** No host key is pinned: neither fetched from nor pushed to. */
  readonly unpinned: boolean;
  /** Runs what talks with upstream. What they share is there while one of them goes on. */
  talk<T>(run: () => Promise<T>): Promise<T>;
  /** Upstream's words without what the agent is not to know. */
  scrub(text: string): string;
  close(): void;
}

type RepoConfig = GitGateConfig["repos"][number];

/**
 * @param onLost called when its key is there no more.
 * @throws UserError when its key cannot be loaded.
 */
export async function openRemote(repo: RepoConfig, home: Home, onLost: () => void): Promise<Remote> {
  const { upstream, name } = repo;
  const scrub = createScrub(repo, home);
  const common = { kind: upstream.kind, scrub, unpinned: false, args: [], talk: NO_MASTER.during };
  switch (upstream.kind) {
    case "ssh": {
      const files = {
        settings: join(home.runtimeDir, `${name}.ssh`),
        knownHosts: join(home.runtimeDir, `${name}.hosts`),
        publicKey: join(home.runtimeDir, `${name}.pub`),
        control: join(home.runtimeDir, `${name}.mux`),
      };
      const { key } = upstream;
      const holder: KeyHolder | undefined =
        key.kind === "private-key" ? await startKeyHolder(name, key.text, home, onLost) : undefined;
      const chosen = key.kind === "agent" ? key.publicKey : undefined;
      if (chosen !== undefined) await writeFile(files.publicKey, `${chosen}\n`, { mode: 0o600 });
      await writeFile(files.knownHosts, knownHosts(upstream.hostKeys), { mode: 0o600 });
      const socket = key.kind === "agent" ? key.socket : (holder?.socket ?? "none");
      const text = sshSettings(upstream, {
        agent: socket,
        knownHosts: files.knownHosts,
        publicKey: chosen === undefined ? undefined : files.publicKey,
        control: fitsSocket(files.control) ? files.control : undefined,
      });
      await writeFile(files.settings, text, { mode: 0o600 });
      const master = fitsSocket(files.control)
        ? createSshMaster(files.settings, files.control, home)
        : NO_MASTER;
      return {
        ...common,
        url: `${HOST_ALIAS}:${upstream.path}`,
        env: {
          GIT_ALLOW_PROTOCOL: "ssh",
          GIT_SSH_COMMAND: `ssh -F ${shellQuoted(files.settings)}`,
          // Unnamed, git runs ssh once more to find out.
          GIT_SSH_VARIANT: "ssh",
        },
        unpinned: upstream.hostKeys.length === 0,
        talk: master.during,
        close() {
          master.close();
          holder?.close();
        },
      };
    }
    case "https": {
      const { credential, ca, proxy } = upstream;
      const args: string[] = [];
      if (ca.length > 0) {
        const file = join(home.runtimeDir, `${name}.ca`);
        await writeFile(file, ca.map((pem) => `${pem.trim()}\n`).join(""), { mode: 0o600 });
        args.push("-c", `http.sslCAInfo=${file}`, "-c", "http.sslCAPath=/nonexistent");
      }
      // Each asks for what is its own: neither is shown what the other one wants.
      if (proxy !== undefined) args.push(...proxySettings(proxy));
      const { origin } = new URL(upstream.url);
      if (credential !== undefined) args.push("-c", `credential.${origin}.helper=${HELPER}`);
      const told = [proxy?.credential, credential].flatMap((each) => each ?? []);
      return {
        ...common,
        url: upstream.url,
        args,
        env: { GIT_ALLOW_PROTOCOL: "https" },
        ...(told.length > 0 && { credential: told.map(credentialText).join("") }),
        close: () => {},
      };
    }
    case "local":
      return { ...common, url: upstream.path, env: { GIT_ALLOW_PROTOCOL: "file" }, close: () => {} };
  }
}

/** Git asks it before it would ask a person, adds the word `get`, and reads what it prints. */
const HELPER = '!f() { test "$1" = get && cat <&3; }; f';

/** Of two, a proxy's comes first: git asks for it before it dials. What is left in the pipe is the upstream's. */
const PROXY_HELPER =
  '!f() { test "$1" = get && IFS= read -r user <&3 && IFS= read -r password <&3 && printf "%s\\n" "$user" "$password"; }; f';

type Proxy = NonNullable<Extract<GitUpstream, { kind: "https" }>["proxy"]>;

function proxySettings({ host, port, tls, credential }: Proxy): readonly string[] {
  const place = `${host}:${port}`;
  const scheme = tls ? "https" : "http";
  if (credential === undefined) return ["-c", `http.proxy=${scheme}://${place}`];
  return [
    // With no user named git asks for none. Who it really is stands in the answer.
    ...["-c", `http.proxy=${scheme}://gate@${place}`, "-c", "http.proxyAuthMethod=basic"],
    ...["-c", `credential.${scheme}://${place}.helper=${PROXY_HELPER}`],
  ];
}

function credentialText({ username, token }: { username: string; token: string }): string {
  // A line break would add a field, such as another host.
  for (const value of [username, token]) {
    if (/[\n\r\0]/.test(value)) throw new Error("a credential has a line break in it");
  }
  return `username=${username}\npassword=${token}\n`;
}

function shellQuoted(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}

const IPV4 = /\b\d{1,3}(?:\.\d{1,3}){3}\b/g;
const IPV6 =
  /\b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{0,4}\b|\b[0-9a-f]{1,4}(?:::?[0-9a-f]{1,4})*::(?:[0-9a-f]{1,4})?/gi;

/**
 * What goes from upstream's words before the agent reads them: secrets, in the forms in which programs print them;
 * folders of this host; the upstream's real place, unless the guest itself spells it; and addresses.
 */
function createScrub({ upstream, spellings }: RepoConfig, home: Home): (text: string) => string {
  const hidden: string[] = [home.stateDir, home.runtimeDir];
  const places: string[] = [];
  switch (upstream.kind) {
    case "ssh":
      places.push(upstream.host);
      if (upstream.key.kind === "agent") hidden.push(upstream.key.socket);
      break;
    case "https": {
      places.push(upstream.url, new URL(upstream.url).host, new URL(upstream.url).hostname);
      for (const { username, token } of [upstream.credential, upstream.proxy?.credential].flatMap(
        (each) => each ?? [],
      )) {
        const basic = Buffer.from(`${username}:${token}`).toString("base64");
        if (token !== "") hidden.push(token, encodeURIComponent(token), basic);
      }
      if (upstream.proxy !== undefined) places.push(upstream.proxy.host);
      break;
    }
    case "local":
      places.push(upstream.path);
      break;
  }
  const known = (place: string): boolean => spellings.some((spelling) => spelling.includes(place));
  const words = [...hidden, ...places.filter((place) => !known(place))]
    .filter((word) => word !== "")
    .sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const word of words) clean = clean.replaceAll(word, "[hidden]");
    clean = clean.replace(IPV4, "[address]").replace(IPV6, "[address]");
    return printable(clean, LIMITS.wordsLength);
  };
}

/**
 * An upstream's URL as it is shown, and every way in which the guest's tools may write it. Git rewrites URLs by their
 * beginnings, letter by letter; so each spelling is written out. What is not foreseen here reaches nothing: the
 * guest has no other way to the host, and egress refuses pushes.
 */
import type { PlannedUpstream } from "../contract/repository.ts";

const SSH_PORT = 22;
const HTTPS_PORT = 443;

/** As git writes it. */
export function upstreamUrl(upstream: PlannedUpstream): string {
  switch (upstream.kind) {
    case "ssh": {
      const { user, host, port, path } = upstream;
      if (!path.startsWith("/") && port === SSH_PORT) return `${user}@${bracketed(host)}:${path}`;
      return `ssh://${user}@${placeOf(host, port, SSH_PORT)}/${path.replace(/^\/+/, "")}`;
    }
    case "https":
      return `https://${placeOf(upstream.host, upstream.port, HTTPS_PORT)}${upstream.path}`;
    case "local":
      return upstream.path;
  }
}

export interface UrlSpellings {
  /** Whole URLs, each without and with `.git`. */
  readonly all: readonly string[];
  /**
   * Those of `all` under which the guest's tools look for what is not behind the gate: another repository whose
   * name only begins like this one's is not this one.
   */
  readonly web: readonly string[];
}

/** For a repository on this host: none, because the guest has no word for it. */
export function spellingsOf(upstream: PlannedUpstream): UrlSpellings {
  if (upstream.kind === "local") return { all: [], web: [] };
  const { host, port } = upstream;
  const path = upstream.path.replace(/^\/+|\/+$/g, "").replace(/\.git$/, "");
  const users = upstream.kind === "ssh" && upstream.user !== "git" ? [upstream.user, "git"] : ["git"];
  const sshPlaces = placesOf(host, upstream.kind === "ssh" ? port : SSH_PORT, SSH_PORT);
  const webPort = upstream.kind === "https" ? port : HTTPS_PORT;
  const web = `https://${placeOf(host, webPort, HTTPS_PORT)}/${path}`;
  const bare = bracketed(host);
  const others = [
    ...placesOf(host, webPort, HTTPS_PORT).flatMap((place) => [
      `https://${place}/${path}`,
      ...users.map((user) => `https://${user}@${place}/${path}`),
    ]),
    ...sshPlaces.flatMap((place) => [
      ...users.map((user) => `ssh://${user}@${place}/${path}`),
      `ssh://${place}/${path}`,
    ]),
    ...[...users.map((user) => `${user}@${bare}`), bare].flatMap((place) => [
      `${place}:${path}`,
      `${place}:/${path}`,
    ]),
    `http://${bare}/${path}`,
    `git://${bare}/${path}`,
  ];
  const both = (url: string): readonly string[] => [url, `${url}.git`];
  return { all: [...new Set([web, ...others])].flatMap(both), web: both(web) };
}

/** With a standard port it is written both ways. */
function placesOf(host: string, port: number, standard: number): readonly string[] {
  const bare = bracketed(host);
  return port === standard ? [bare, `${bare}:${standard}`] : [`${bare}:${port}`];
}

function placeOf(host: string, port: number, standard: number): string {
  return port === standard ? bracketed(host) : `${bracketed(host)}:${port}`;
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** The demo's operator: a home of its own, a small repository to work on, and manifests for the agent. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROBE_FILE, PROBE_SOURCE } from "./probe-script.ts";

export const ALLOWED_HOST = "site.bottle-demo.test";
export const DENIED_HOST = "elsewhere.bottle-demo.test";
const API_HOST = "api.anthropic.com";

export interface DemoPlaces {
  readonly home: string;
  readonly runtime: string;
  readonly repository: string;
}

export function makePlaces(root: string): DemoPlaces {
  const places = { home: join(root, "home"), runtime: join(root, "run"), repository: join(root, "project") };
  for (const folder of [
    places.home,
    places.runtime,
    places.repository,
    join(places.home, "agents"),
    join(places.home, "bottles"),
  ]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  return places;
}

/** A repository with one commit: the probe, and something that looks like work. */
export function makeRepository(folder: string): void {
  writeFileSync(join(folder, PROBE_FILE), PROBE_SOURCE);
  writeFileSync(join(folder, "README.md"), "# A project\n\nSomebody should say hello here.\n");
  git(folder, "init", "--quiet", "--initial-branch=main");
  git(folder, "add", "--all");
  git(
    folder,
    "-c",
    "user.name=Demo",
    "-c",
    "user.email=demo@example.com",
    "commit",
    "--quiet",
    "--message=Begin",
  );
}

export function git(folder: string, ...args: readonly string[]): string {
  return execFileSync("git", ["-C", folder, ...args], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: folder, GIT_CONFIG_NOSYSTEM: "1" },
  }).trim();
}

/** The real hosts stay in the manifest; `connect_to` says that for once they are found here. */
export function writeManifests(
  places: DemoPlaces,
  upstreams: {
    readonly apiPort: number;
    readonly sitePort: number;
    readonly caFile: string;
    /** Under which name or address egress finds this machine. */
    readonly reach: string;
  },
  shellCommand: string | undefined,
): void {
  const provider =
    shellCommand === undefined
      ? "agent_provider: {template: claude}"
      : `agent_provider:\n  template: command\n  command: ["sh", "-c", ${JSON.stringify(shellCommand)}]`;
  writeFileSync(
    join(places.home, "bottles", "demo.md"),
    `---
egress:
  upstream_ca: [${JSON.stringify(upstreams.caFile)}]
  routes:
    - host: ${API_HOST}
      connect_to: ${upstreams.reach}:${upstreams.apiPort}
      allow_addresses: [127.0.0.0/8, 192.168.0.0/16]
    - host: ${ALLOWED_HOST}
      connect_to: ${upstreams.reach}:${upstreams.sitePort}
      allow_addresses: [127.0.0.0/8, 192.168.0.0/16]
      matches:
        - methods: [GET]
git-gate:
  user: {name: Demo Agent, email: agent@example.com}
${provider}
---
`,
    { mode: 0o600 },
  );
  writeFileSync(
    join(places.home, "agents", "demo.md"),
    "---\nbottle: demo\n---\nYou are the demo's agent. Do what you are told.\n",
    {
      mode: 0o600,
    },
  );
}

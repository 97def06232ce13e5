/** Every key of a bottle. What a bottle is allowed comes from the operator's home folder alone. */
import * as z from "zod";
import { GUEST } from "../contract/backend.ts";
import { BACKEND_NAMES, BUNDLE_PLACEMENTS, ISOLATION_LEVELS } from "../contract/isolation.ts";
import { parsedText } from "../lib/parsed.ts";
import { egress } from "./egress-schema.ts";
import { envEntry, envName } from "./env-entry.ts";
import { bottleGitGate } from "./git-schema.ts";
import { parseImageSource } from "./image-source.ts";
import { byteSize, diskSize, guestPath, hostPath, isWithin, line, name } from "./scalars.ts";
import { supervise } from "./supervise-schema.ts";

/** The agent products a bottle can name. */
export const PROVIDER_TEMPLATES = ["claude", "codex", "gemini", "opencode", "pi", "command"] as const;

const agentProvider = z
  .strictObject({
    template: z
      .enum(PROVIDER_TEMPLATES)
      .exactOptional()
      .describe("The agent product that runs. command: any program. Default claude."),
    command: z
      .array(z.string().refine((word) => !word.includes("\0"), "must not contain a NUL character"))
      .min(1, "is empty: name the program")
      .refine((words) => words[0] !== "", "begins with an empty text: name the program")
      .exactOptional()
      .describe(
        "With template: command, the program and its arguments, one list entry each. No shell is involved.",
      ),
    dockerfile: hostPath
      .exactOptional()
      .describe(
        "The guest's system: what a docker-compatible engine makes of this Dockerfile and the folder it is in.",
      ),
    auth_token: line.exactOptional().describe("The variable of your environment with the provider's token."),
    forward_host_credentials: z
      .boolean()
      .exactOptional()
      .describe("Whether egress uses the login that the product has on your host."),
  })
  .superRefine((provider, context) => {
    const takesCommand = provider.template === "command";
    if (takesCommand === (provider.command !== undefined)) return;
    const message = takesCommand
      ? "with template: command, name the program: command: [program, argument, …]"
      : "is only for template: command";
    context.addIssue({ code: "custom", path: takesCommand ? [] : ["command"], message });
  });

/** A fraction of one processor up to more than any host has. */
const MIN_CPUS = 0.1;
const MAX_CPUS = 1024;

const resources = z.strictObject({
  cpus: z
    .number()
    .min(MIN_CPUS, `must be at least ${MIN_CPUS}`)
    .max(MAX_CPUS, `must be at most ${MAX_CPUS}`)
    .exactOptional()
    .describe("Processors; fractions are fine."),
  memory: byteSize.exactOptional().describe("Memory, such as 2G."),
  disk: diskSize.exactOptional().describe("Disk of a guest that has its own, such as 20G. Default 16G."),
});

const workspaceEntry = z.strictObject({
  from: hostPath.describe("A folder on your host."),
  to: guestPath.describe("Where its copy goes in the guest."),
});

/** Folders of the guest that the bottle makes itself; a mount there would replace a part of the wall. */
const GUEST_OWN = [
  "/proc",
  "/sys",
  "/dev",
  "/etc",
  "/usr",
  "/bin",
  "/sbin",
  "/lib",
  "/lib64",
  "/run",
  "/tmp",
];

const mount = z.strictObject({
  from: hostPath
    .refine(
      (path) => path !== "/" && !["/proc", "/sys", "/dev"].some((folder) => isWithin(path, folder)),
      "would show the host itself to the guest: name a folder or file of yours",
    )
    .describe("A folder or file on your host."),
  to: guestPath
    .refine(
      (path) =>
        !GUEST_OWN.some((folder) => isWithin(path, folder)) &&
        !isWithin(GUEST.home, path) &&
        !isWithin(path, GUEST.workspace),
      `is a place that the bottle fills itself; take one such as /mnt/data or ${GUEST.home}/data`,
    )
    .describe("Where it appears in the guest, read-only."),
});

export const bottleSchema = z.strictObject({
  extends: z
    .union([name, z.array(name).min(1, "is empty: leave it out, or name a bottle")])
    .exactOptional()
    .describe("The bottle or bottles that this one builds on, by name."),
  env: z.record(envName, envEntry).exactOptional().describe("Variables given to the agent, by name."),
  egress: egress.exactOptional().describe("What may be reached over HTTP. Without it: nothing."),
  "git-gate": bottleGitGate.exactOptional().describe("Who commits, and which repositories may be pushed."),
  supervise: supervise
    .exactOptional()
    .describe("Whether the agent may ask for more: true, or how. What it asks for waits in `bottle inbox`."),
  agent_provider: agentProvider.exactOptional().describe("Which agent product runs."),
  image: parsedText(parseImageSource)
    .exactOptional()
    .describe(
      "The guest's system: docker://host/repository:tag@sha256:…, oci:/folder:name, docker-archive:/file.tar, docker-daemon:name:tag, dockerfile:/file, dir:/folder, kept:name, or built-in. Default: built-in.",
    ),
  resources: resources.exactOptional().describe("What the guest may use of the host."),
  isolation: z
    .enum(ISOLATION_LEVELS)
    .exactOptional()
    .describe("The weakest isolation under which this bottle may run. Less is refused."),
  backend: z
    .enum(BACKEND_NAMES)
    .exactOptional()
    .describe("What makes the guest. Default: the strongest here."),
  bundle: z
    .enum(BUNDLE_PLACEMENTS)
    .exactOptional()
    .describe(
      "Where the sidecars run: as processes of your host, or in a container. Default: where the backend has them.",
    ),
  host_services: z
    .array(z.number().int("must be a port").min(1, "must be a port").max(65_535, "must be a port"))
    .exactOptional()
    .describe(
      "Ports of your host at which something listens on all addresses, and which the guest may reach where its filter knows no ports.",
    ),
  workspace: z.array(workspaceEntry).exactOptional().describe("Further folders copied into the guest."),
  mounts: z
    .array(mount)
    .superRefine((mounts, context) => {
      mounts.forEach(({ to }, i) => {
        if (mounts.findIndex((other) => other.to === to) === i) return;
        context.addIssue({
          code: "custom",
          path: [i, "to"],
          message: "is the place of another mount already",
        });
      });
    })
    .exactOptional()
    .describe("Folders and files shown to the guest, read-only."),
  repo_agents: z
    .boolean()
    .exactOptional()
    .describe("Whether agents that a repository brings may run in this bottle. Never inherited."),
});

/** One bottle as its file says it: only the keys that it declares. */
export type Bottle = z.output<typeof bottleSchema>;

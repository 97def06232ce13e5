/**
 * Whether a bottle can live in an image that somebody else made. Our first program brings its own Node and needs nothing of
 * it; provisioning runs a few programs that every distribution has, and the agent's own may want a C library. It is
 * looked for by our own program, before any of the image's runs.
 */
import * as z from "zod";
import type { Guest } from "../../contract/backend.ts";
import type { BottlePlan } from "../../contract/plan.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { runInGuestOk } from "../../provision/guest-command.ts";
import { ownNode, withoutStrange } from "./own-program.ts";

/** What files are brought in with, and how they go. */
const ALWAYS = ["sh", "cat", "mkdir", "rm", "tar"];
/** What a workspace's history is taken in and out with. */
const FOR_REPOSITORIES = ["git"];
const foundSchema = z.object({ missing: z.array(z.string()), missingLoader: z.string().optional() });

/** @throws UserError naming what the image lacks, and how it gets that. */
export async function refuseUnfit(
  guest: Guest,
  {
    name,
    plan,
    env,
  }: { readonly name: string; readonly plan: BottlePlan; readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  const needsGit = plan.workspaceFrom !== undefined || plan.repos !== undefined;
  const wanted = {
    path: env["PATH"] ?? "",
    names: [...ALWAYS, ...(needsGit ? FOR_REPOSITORIES : [])],
    agent: plan.provider.argv[0],
  };
  const said = await runInGuestOk(guest.exec, ownNode("guest-look.mjs", JSON.stringify(wanted)), {
    cwd: "/",
    env: withoutStrange(env),
    name: "a look at the image",
  });
  const { missing, missingLoader } = foundSchema.parse(JSON.parse(said.toString("utf8")));
  if (missing.length > 0) {
    throw new UserError(`the image ${name} has no ${missing.map((each) => printable(each)).join(", ")}`, {
      hint: "put them on its PATH: in a Dockerfile of Debian's kind, RUN apt-get update && apt-get install --yes …",
    });
  }
  if (missingLoader !== undefined) {
    throw new UserError(
      `the agent's program ${wanted.agent} cannot start in the image ${name}: it has no ${printable(missingLoader)}`,
      { hint: "use one with glibc (of Debian's or Fedora's kind), or another agent_provider" },
    );
  }
}

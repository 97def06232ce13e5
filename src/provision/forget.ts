/**
 * The other way round: what provisioning put into a guest is taken out of it, by the same plan. What the agent copied
 * elsewhere is the agent's; bearers and the decoy are worth nothing once their bottle has ended.
 */
import { GUEST } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { providerNamed } from "../providers/registry.ts";
import { GUEST_CA } from "./ca-environment.ts";
import { CA_MARKS } from "./ca-store.ts";
import { decoyFile } from "./decoy.ts";
import { GATE_CONFIG_PATH } from "./gate-config.ts";
import { gitIdentityFile } from "./git-identity.ts";
import { type GuestExec, runInGuestOk } from "./guest-command.ts";
import { GUEST_SKILLS } from "./skills.ts";

/** Every file and folder of the agent's that provisioning makes for `plan`. */
export function provisionedPaths(plan: BottlePlan): readonly string[] {
  const provider = providerNamed(plan.provider.name);
  return [
    GUEST.mcpConfig,
    ...(provider.mcpFile === undefined ? [] : [provider.mcpFile.path]),
    GATE_CONFIG_PATH,
    decoyFile("").path,
    gitIdentityFile(plan.git).path,
    ...plan.provider.files.map(({ path }) => path),
    ...(plan.presets ?? []).flatMap(({ files }) => files.map(({ path }) => path)),
    ...(plan.userConfig?.texts ?? []).map(({ to }) => to),
    ...plan.skills.map(({ name }) => `${provider.skillsFolder ?? GUEST_SKILLS}/${name}`),
  ];
}

/**
 * Of an earlier life, before the next one is given its own: what the operator has taken out of the manifest since is
 * gone, and nothing that the agent put in such a place is in the way.
 * @param paths as {@link provisionedPaths} has them.
 */
export async function forgetEarlier(exec: GuestExec, paths: readonly string[]): Promise<void> {
  if (paths.length > 0) await runInGuestOk(exec, ["rm", "-rf", "--", ...paths], { cwd: "/" });
}

/** @param exec as root of a guest, with `rm` and `sed` that are not the image's. */
export async function forgetProvisioned(exec: GuestExec, paths: readonly string[]): Promise<void> {
  await runInGuestOk(exec, ["rm", "-rf", "--", GUEST_CA.ca, ...paths]);
  // The bundle of roots only got one more.
  const [begin, end] = CA_MARKS;
  await runInGuestOk(exec, ["sed", "-i", `/^${begin}$/,/^${end}$/d`, GUEST_CA.bundle]);
}

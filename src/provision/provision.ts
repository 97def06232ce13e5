/**
 * What is put into a verified guest before its agent runs, in this order: the CA, so that everything later can
 * use TLS; the files of presets, and the provider's with the prompt; what comes along of the operator's own; skills; git's identity; the workspace.
 */
import { GUEST, type Guest, type Progress } from "../contract/backend.ts";
import type { BottlePlan, PlannedFile } from "../contract/plan.ts";
import { providerNamed } from "../providers/registry.ts";
import { provisionCa } from "./ca-store.ts";
import { decoyFile } from "./decoy.ts";
import { forgetEarlier } from "./forget.ts";
import { GATE_CONFIG_PATH, type GateAccess, gateConfigFile } from "./gate-config.ts";
import { gitIdentityFile } from "./git-identity.ts";
import { runInGuestOk } from "./guest-command.ts";
import { mcpConfigFiles, type SuperviseAccess } from "./mcp-config.ts";
import { provisionSkills } from "./skills.ts";
import { slowStep } from "./slow-step.ts";
import { writeGuestFiles } from "./transfer.ts";
import { importWorkspace } from "./workspace/import.ts";
import { localRemotes } from "./workspace/local-remotes.ts";
import { type BaseSnapshot, emptyBase, snapshotBase } from "./workspace/snapshot.ts";

export interface ProvisionMaterial {
  /** PEM of the bottle's CA; its key is not ours to have. */
  readonly certificate: string;
  /** Absent without repositories behind git-gate. */
  readonly gate?: GateAccess;
  /** Absent when the agent cannot ask for more. */
  readonly supervise?: SuperviseAccess;
  /** The bottle's decoy credential. */
  readonly decoy: string;
  /** The bottle's own directory on the host, for files that live for one step. */
  readonly stateDir: string;
  /** What an earlier life of this bottle started from: its workspace is there and stays as the agent left it. */
  readonly resumedFrom: BaseSnapshot | undefined;
  /** What earlier lives put there, which this one may not have. */
  readonly earlierPaths: readonly string[];
  readonly progress: Progress;
}

/**
 * Provisions `guest` and returns what its agent starts from.
 * @throws UserError naming what of the plan cannot be done.
 */
export async function provision(
  guest: Guest,
  plan: BottlePlan,
  material: ProvisionMaterial,
): Promise<BaseSnapshot> {
  const provider = providerNamed(plan.provider.name);
  await provisionCa(guest, material.certificate, material.stateDir);
  await forgetEarlier(guest.exec, material.earlierPaths);
  await writeGuestFiles(guest.exec, [
    ...(plan.presets ?? []).flatMap(({ files }) => files),
    ...plan.provider.files,
    ...gitFiles(plan, material.gate),
    decoyFile(material.decoy),
    ...(await userTexts(plan)),
    ...mcpConfigFiles(material.supervise, plan.userConfig?.mcpServers, provider.mcpFile),
  ]);
  await provisionSkills(guest, plan.skills, provider.skillsFolder);
  return provisionWorkspace(guest, plan, material);
}

async function userTexts({ userConfig }: BottlePlan): Promise<readonly PlannedFile[]> {
  if (userConfig === undefined || userConfig.texts.length === 0) return [];
  // With the detectors of secrets: the keepers of most bottles do without their tables.
  const { userTextFiles } = await import("./user-texts.ts");
  return userTextFiles(userConfig.texts);
}

function gitFiles(plan: BottlePlan, gate: GateAccess | undefined): readonly PlannedFile[] {
  if (gate === undefined) return [gitIdentityFile(plan.git)];
  return [gitIdentityFile(plan.git, [GATE_CONFIG_PATH]), gateConfigFile(gate)];
}

async function provisionWorkspace(
  guest: Guest,
  plan: BottlePlan,
  { stateDir, resumedFrom, progress, gate }: ProvisionMaterial,
): Promise<BaseSnapshot> {
  // Also of an earlier life: the agent may have removed it, and would start nowhere.
  const folder = resumedFrom?.cwd ?? GUEST.workspace;
  await runInGuestOk(guest.exec, ["mkdir", "-p", "--", folder], { cwd: GUEST.home });
  if (resumedFrom !== undefined) return resumedFrom;
  if (plan.workspaceFrom === undefined) return emptyBase();
  const imported = await importWorkspace(guest, plan.workspaceFrom, {
    scratchDir: stateDir,
    progress,
    remoteUrl: localRemotes(gate?.repos ?? []),
  });
  return slowStep(progress, "workspace: noting the state that the agent starts from", () =>
    snapshotBase(guest, imported),
  );
}

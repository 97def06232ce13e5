/** What an engine has of bottles: asked for by name, in one question for each kind of thing. */
import type { Looking, OwnedResource } from "../../contract/backend.ts";
import { type Engine, engineInfo, findEngine, listLabels } from "../../engine/engine.ts";
import { bearsOwnLabel } from "../../engine/labels.ts";

/** Of everything that is a bottle's. */
export const PREFIX = "bot-bottle-";
/** In the order in which they can be removed. */
const KINDS = ["container", "network", "volume"] as const;

/** Nothing of an engine that does not run. @throws UserError; the signal's reason. */
export async function enumerateOfEngine({ signal }: Looking = {}): Promise<readonly OwnedResource[]> {
  const engine = findEngine();
  if (engine === undefined) return [];
  const answers = await Promise.allSettled(
    KINDS.map(async (kind) => {
      // By name, not by label: an engine that is killed while it makes a volume forgets the volume's labels.
      const found = await listLabels(engine, kind, PREFIX, signal);
      return found.flatMap(({ name, labels }) => resourceOf(kind, name, labels));
    }),
  );
  const failed = answers.find((answer) => answer.status === "rejected");
  if (failed !== undefined) {
    signal?.throwIfAborted();
    if (!(await isUp(engine, signal))) return [];
    throw failed.reason;
  }
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
}

function isUp(engine: Engine, signal?: AbortSignal): Promise<boolean> {
  return engineInfo(engine, signal).then(
    () => true,
    () => false,
  );
}

/** None for what only begins like ours. */
function resourceOf(kind: string, name: string, labels: string): readonly OwnedResource[] {
  const [, bottle, role] = /^bot-bottle-(.+)-([a-z]+|image\d+)$/.exec(name) ?? [];
  if (bottle === undefined) return [];
  const isDisk = role === "home" || role?.startsWith("image");
  const resource = { backend: "docker" as const, bottle, kind: isDisk ? "disk" : kind, name };
  return [bearsOwnLabel(labels) ? { ...resource, ours: true as const } : resource];
}

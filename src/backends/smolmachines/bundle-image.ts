/** For a bundle in a container: an engine, and the image of the sidecars, built when it is first needed. */
import { ensureSidecarsImage, refuseWithoutPipelock } from "../../bundle/container-image.ts";
import type { Progress } from "../../contract/backend.ts";
import type { BottlePlan } from "../../contract/plan.ts";
import { engineInfo, findEngine } from "../../engine/engine.ts";
import { UserError } from "../../lib/errors.ts";
import type { BundleImage } from "./link.ts";

/** @throws UserError where no engine answers. */
export async function prepareBundleImage(plan: BottlePlan, progress: Progress): Promise<BundleImage> {
  const engine = findEngine();
  if (engine === undefined)
    throw new UserError(
      "the bottle wants its bundle in a container, and there is no docker-compatible engine",
      {
        hint: "install Docker Desktop, OrbStack or docker.io; or take bundle: container out of the bottle",
      },
    );
  await engineInfo(engine);
  const image = await ensureSidecarsImage(engine, progress);
  if (plan.pipelock === true) await refuseWithoutPipelock(engine, image);
  return { engine, image };
}

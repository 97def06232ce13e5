/** The machine that a plan asks for, and the template that it goes on from: all of it in the cache, nothing running. */
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import type { Lack, Progress } from "../../contract/backend.ts";
import type { BottlePlan } from "../../contract/plan.ts";
import { messageOf, UserError } from "../../lib/errors.ts";
import { cacheOf } from "../../lib/paths.ts";
import { chooseAcceleration } from "./acceleration.ts";
import { plainKernel } from "./kernel.ts";
import { findHostParts } from "./parts.ts";
import { ramDisk } from "./ram-disk.ts";
import { makeTemplate, type TemplateSpec, templatePath, tryBoot } from "./template.ts";

/** Enough for a build beside an agent; it is taken from the host only as it is used. */
export const DEFAULT_MEMORY_BYTES = 2 * 1024 ** 3;
export const DEFAULT_CPUS = 2;

export interface PreparedMachine {
  readonly spec: TemplateSpec;
  /** Absent where a machine cannot be saved: each guest boots. */
  readonly template: string | undefined;
}

/** @throws UserError naming what this host lacks. */
export async function prepareMachine(
  resources: BottlePlan["resources"],
  progress: Progress,
): Promise<PreparedMachine> {
  const cache = cacheOf();
  const found = await findHostParts(cache);
  if ("lacks" in found) throw missing(found.lacks);
  const { arch, kernel, qemuVersion } = found.parts;
  const unaccelerated = {
    arch,
    accelerator: "tcg" as const,
    cpus: Math.max(1, Math.min(Math.floor(resources.cpus ?? DEFAULT_CPUS), cpus().length)),
    memoryBytes: resources.memoryBytes ?? DEFAULT_MEMORY_BYTES,
    kernel: await plainKernel(kernel, cache),
    ramDisk: await ramDisk(kernel, cache),
  };
  const accelerator = await chooseAcceleration({ arch, cache, qemuVersion }, (candidate) => {
    progress(`qemu: trying whether ${candidate} works here`);
    return tryBoot({ ...unaccelerated, accelerator: candidate });
  });
  const spec = { ...unaccelerated, accelerator };
  const template = templatePath(spec, qemuVersion, cache);
  if (existsSync(template)) return { spec, template };
  progress("qemu: booting a machine once, to go on from later");
  try {
    await makeTemplate(template, spec, progress);
    return { spec, template };
  } catch (error) {
    progress(`qemu: cannot keep a booted machine, so each bottle boots: ${messageOf(error)}`);
    return { spec, template: undefined };
  }
}

function missing(lacks: readonly Lack[]): UserError {
  return new UserError(
    `this host cannot run micro-VMs\n  ${lacks.map(({ what, remedy }) => `it lacks ${what}: ${remedy}`).join("\n  ")}`,
    { hint: "bottle doctor" },
  );
}

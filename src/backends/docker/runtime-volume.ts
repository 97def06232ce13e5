/**
 * The volume with what runs first in a guest: our init, a Node and the libraries that it was linked to. The engine fills
 * a new volume with what the sidecars' image has in that place; it is named after the image and made once.
 */
import {
  createContainer,
  type Engine,
  ensureVolume,
  listNames,
  removeContainer,
} from "../../engine/engine.ts";
import { isProcessAlive, ownProcessStart } from "../../lib/process-start.ts";

/** In the sidecars' image. */
const FILLED_FROM = "/opt/bottle/runtime";
const LABEL = "bot-bottle.runtime";

/** @returns its name. @throws UserError */
export async function ensureRuntimeVolume(engine: Engine, sidecars: string): Promise<string> {
  const version = sidecars.split(":").at(-1) ?? "latest";
  const name = `bot-bottle-runtime-${version}`;
  await ensureVolume(engine, name, { [LABEL]: version });
  // It is filled when a container is made, whether or not that is ever started; a full one is left as it is.
  const maker = `${name}-${process.pid}-${await ownProcessStart()}`;
  try {
    await createContainer(engine, {
      name: maker,
      image: sidecars,
      labels: { [LABEL]: version },
      network: { kind: "none" },
      user: "1000:1000",
      pids: 1,
      mounts: [{ type: "volume", name, to: FILLED_FROM, writable: true }],
    });
  } finally {
    await removeContainer(engine, maker);
  }
  return name;
}

/** Removes containers that were made to fill it, and whose maker was killed meanwhile: none of them ever starts. */
export async function sweepMakers(engine: Engine): Promise<void> {
  for (const maker of await listNames(engine, "container", LABEL)) {
    const [, pid, start] = /^bot-bottle-runtime-[0-9a-z]+-(\d+)-([0-9a-f-]+)$/.exec(maker) ?? [];
    if (pid === undefined || start === undefined || (await isProcessAlive(Number(pid), start))) continue;
    await removeContainer(engine, maker);
  }
}

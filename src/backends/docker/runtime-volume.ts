/**
 * The volume with what runs first in a guest: our init, a Node and the libraries that it was linked to. The engine fills
 * a new volume with what the sidecars' image has in that place; it is named after the image and made once.
 */
import { createContainer, type Engine, ensureVolume, removeContainer } from "../../engine/engine.ts";
import { RUNTIME } from "./own-program.ts";

/** @returns its name. @throws UserError */
export async function ensureRuntimeVolume(engine: Engine, sidecars: string): Promise<string> {
  const version = sidecars.split(":").at(-1) ?? "latest";
  const name = `bot-bottle-runtime-${version}`;
  await ensureVolume(engine, name, { "bot-bottle.runtime": version });
  // It is filled when a container is made, whether or not that is ever started; a full one is left as it is.
  const maker = `bot-bottle-runtime-${version}-${process.pid}`;
  try {
    await createContainer(engine, {
      name: maker,
      image: sidecars,
      labels: { "bot-bottle.runtime": version },
      network: { kind: "none" },
      user: "1000:1000",
      pids: 1,
      mounts: [{ type: "volume", name, to: RUNTIME, writable: true }],
    });
  } finally {
    await removeContainer(engine, maker);
  }
  return name;
}

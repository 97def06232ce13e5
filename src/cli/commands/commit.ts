/** `bottle commit`: a bottle's disk as an image for others, without what was provisioned. */
import { commitBottle } from "../../keeper/disk-work.ts";
import { UserError } from "../../lib/errors.ts";
import { parseImageSource } from "../../manifest/image-source.ts";
import { print, tell } from "../output.ts";

export async function commit(id: string, name: string = id): Promise<number> {
  if (!parseImageSource(`kept:${name}`).ok) {
    throw new UserError(`${JSON.stringify(name)} is no name for an image`, {
      hint: "letters, digits, dots, dashes and underscores, as in ready-2",
    });
  }
  await commitBottle(id, name, tell);
  print(`kept:${name}`);
  return 0;
}

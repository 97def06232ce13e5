/** `bottle schema`: what an editor can check a manifest against. */
import { UserError } from "../../lib/errors.ts";
import { manifestJsonSchemas } from "../../manifest/json-schema.ts";
import { printJson } from "../output.ts";

export async function schema(kind: string | undefined): Promise<number> {
  const schemas = manifestJsonSchemas();
  if (kind === undefined) printJson(schemas);
  else if (kind === "bottle" || kind === "agent") printJson(schemas[kind]);
  else
    throw new UserError(`there is a schema for bottle and one for agent, none for ${kind}`, { exitCode: 2 });
  return 0;
}

/** The two kinds of manifest file and their schemas. */
import { agentSchema } from "./agent-schema.ts";
import { bottleSchema } from "./bottle-schema.ts";

export const MANIFEST_KINDS = ["bottle", "agent"] as const;
export type ManifestKind = (typeof MANIFEST_KINDS)[number];

export const SCHEMAS = { bottle: bottleSchema, agent: agentSchema } as const;

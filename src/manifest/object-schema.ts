/** The two kinds of manifest file, their schemas, and what a JSON Schema says about them. */
import { z } from "zod";
import { agentSchema } from "./agent-schema.ts";
import { bottleSchema } from "./bottle-schema.ts";

export const MANIFEST_KINDS = ["bottle", "agent"] as const;
export type ManifestKind = (typeof MANIFEST_KINDS)[number];

export const SCHEMAS = { bottle: bottleSchema, agent: agentSchema } as const;

export interface JsonSchemas {
  readonly bottle: Readonly<Record<string, unknown>>;
  readonly agent: Readonly<Record<string, unknown>>;
}

/** JSON Schemas (draft 2020-12) of the front matter, from the types that validate it; every key is described. */
export function manifestJsonSchemas(): JsonSchemas {
  return {
    bottle: titled("bot-bottle: a bottle's front matter", bottleSchema),
    agent: titled("bot-bottle: an agent's front matter", agentSchema),
  };
}

function titled(title: string, schema: z.ZodType): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return { $schema, title, ...rest };
}

/** The keys that the map at `path` may have; empty where any name goes. */
export function knownKeys(kind: ManifestKind, path: readonly (string | number)[]): readonly string[] {
  let here: readonly unknown[] = [z.toJSONSchema(SCHEMAS[kind], { io: "input" })];
  for (const part of path) here = here.flatMap(alternatives).flatMap((schema) => child(schema, part));
  return [
    ...new Set(here.flatMap(alternatives).flatMap((schema) => Object.keys(mapIn(schema, "properties")))),
  ];
}

function alternatives(schema: unknown): unknown[] {
  const lists = ["anyOf", "oneOf"].map((key) => memberOf(schema, key)).filter(Array.isArray);
  return [schema, ...lists.flat().flatMap(alternatives)];
}

function child(schema: unknown, part: string | number): unknown[] {
  if (typeof part === "number") return [memberOf(schema, "items")];
  return [memberOf(mapIn(schema, "properties"), part) ?? memberOf(schema, "additionalProperties")];
}

function mapIn(schema: unknown, key: string): object {
  const value = memberOf(schema, key);
  return typeof value === "object" && value !== null ? value : {};
}

function memberOf(schema: unknown, key: string): unknown {
  if (typeof schema !== "object" || schema === null) return undefined;
  return Object.getOwnPropertyDescriptor(schema, key)?.value;
}

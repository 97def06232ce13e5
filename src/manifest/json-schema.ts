/** The JSON Schemas of a manifest's front matter, from the types that validate it. */
import * as z from "zod";
import { type ManifestKind, SCHEMAS } from "./object-schema.ts";

export interface JsonSchemas {
  readonly bottle: Readonly<Record<string, unknown>>;
  readonly agent: Readonly<Record<string, unknown>>;
}

/** JSON Schemas (draft 2020-12) of the front matter, from the types that validate it; every key is described. */
export function manifestJsonSchemas(): JsonSchemas {
  return {
    bottle: titled("bot-bottle: a bottle's front matter", "bottle"),
    agent: titled("bot-bottle: an agent's front matter", "agent"),
  };
}

function titled(title: string, kind: ManifestKind): Readonly<Record<string, unknown>> {
  const { $schema, ...rest } = jsonSchemaOf(kind);
  return { $schema, title, ...rest };
}

const jsonSchemas = new Map<ManifestKind, Readonly<Record<string, unknown>>>();

/** Made once: a file of nothing but unknown keys asks for it thousands of times. */
function jsonSchemaOf(kind: ManifestKind): Readonly<Record<string, unknown>> {
  const made = jsonSchemas.get(kind) ?? z.toJSONSchema(SCHEMAS[kind], { io: "input" });
  jsonSchemas.set(kind, made);
  return made;
}

/** The keys that the map at `path` may have; empty where any name goes. */
export function knownKeys(kind: ManifestKind, path: readonly (string | number)[]): readonly string[] {
  let here: readonly unknown[] = [jsonSchemaOf(kind)];
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

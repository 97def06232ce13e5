/** What a program that holds secrets says of what went wrong: never a line, a value or a message that could quote one (I2). */
import * as z from "zod";
import { messageOf, UserError } from "./errors.ts";

/** The parser's own error would quote the line, and secrets are on it. */
export function parseFields(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** What is known to quote no secret, in its own words; of anything else only what kind it is. */
export function explain(error: unknown): string {
  if (error instanceof z.ZodError) {
    return error.issues.map(({ path, message }) => `${path.join(".") || "config"}: ${message}`).join("; ");
  }
  if (error instanceof UserError) return messageOf(error);
  return describeBug(error);
}

export function describeBug(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const where = error.stack?.split("\n").find((line) => line.trimStart().startsWith("at "));
  return `${error.name}${where === undefined ? "" : ` ${where.trim()}`}`;
}

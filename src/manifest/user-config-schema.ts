/**
 * What an agent's file names of the operator's own configuration of the product. An allow-list: nothing comes along
 * that is not named, and what is named is looked at by the provider, which knows what it means.
 */
import * as z from "zod";
import type { UserConfigWish } from "../contract/provider.ts";
import { name } from "./scalars.ts";

/** Far more than anybody names by hand. */
const MOST = 100;

/** A key of the product's settings, or a name that it gives a server. */
const key = z
  .string()
  .regex(/^[A-Za-z0-9_$][A-Za-z0-9_.-]{0,63}$/, "must be a name: letters, digits, dash, underscore and dots");

/** `review`, or `git/review` in a folder. */
const command = z
  .string()
  .refine(
    (text) => text.split("/").every((part) => name.safeParse(part).success),
    "must be the name of a command without .md, such as review or git/review",
  );

const list = <T extends z.ZodType<string>>(item: T) =>
  z.array(item).max(MOST, `names more than ${MOST}`).exactOptional();

export const userConfig = z
  .strictObject({
    memory: z.boolean().exactOptional().describe("Whether your own CLAUDE.md comes along."),
    settings: list(key).describe("Keys of your settings.json that come along."),
    commands: list(command).describe("Slash commands of yours that come along, by name."),
    mcp_servers: list(key).describe(
      "MCP servers of yours that come along, by name; never their credentials.",
    ),
  })
  .transform(
    ({ memory, settings, commands, mcp_servers }): UserConfigWish => ({
      memory: memory ?? false,
      settings: [...new Set(settings)],
      commands: [...new Set(commands)],
      mcpServers: [...new Set(mcp_servers)],
    }),
  );

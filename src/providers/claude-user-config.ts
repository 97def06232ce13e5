/**
 * What comes into a bottle of the operator's own `~/.claude`: CLAUDE.md, slash commands, settings and MCP servers, each
 * because the agent's file names it. Everything that is wrong is told at once, by file and key; nothing is left out
 * silently, and nothing that looks like a secret comes along (I2).
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { GUEST } from "../contract/backend.ts";
import type { PlannedMcpServer, PlannedText, PlannedUserConfig } from "../contract/plan.ts";
import type { UserConfigWish } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";
import { didYouMean } from "../lib/names.ts";
import { suggestion } from "../manifest/problem.ts";
import { secretIn } from "../manifest/secret-text.ts";
import { readTextFile } from "../manifest/text-file.ts";
import { ownServer } from "./claude-own-server.ts";
import { OWN_SETTINGS, REFUSED_SETTINGS } from "./claude-own-settings.ts";

/** The product keeps the history of every project in `~/.claude.json`. */
const MAX_STATE_BYTES = 64 * 1024 * 1024;
/** A setting is a word or a short list. */
const MAX_SETTING_BYTES = 16 * 1024;

type Say = (key: "memory" | "settings" | "commands" | "mcp_servers", message: string) => void;

/** @throws UserError with everything that is missing or refused. */
export function claudeUserConfig(wish: UserConfigWish, userHome: string): PlannedUserConfig {
  const problems: string[] = [];
  const say: Say = (key, message) => void problems.push(`user_config.${key}: ${message}`);
  const folder = join(userHome, ".claude");
  const found: PlannedUserConfig = {
    texts: [...memoryIn(folder, wish, say), ...commandsIn(folder, wish, say)],
    settings: settingsIn(join(folder, "settings.json"), wish, say),
    mcpServers: serversIn(join(userHome, ".claude.json"), wish, say),
  };
  if (problems.length === 0) return found;
  throw new UserError(problems.join("\n       "), {
    hint: "take it out of user_config in the agent's file, or change what it names",
  });
}

function memoryIn(folder: string, { memory }: UserConfigWish, say: Say): readonly PlannedText[] {
  if (!memory) return [];
  const text = { name: "CLAUDE.md", from: join(folder, "CLAUDE.md"), to: `${GUEST.home}/.claude/CLAUDE.md` };
  return isFit(text.from, (message) => say("memory", message)) ? [text] : [];
}

function commandsIn(folder: string, { commands }: UserConfigWish, say: Say): readonly PlannedText[] {
  const root = join(folder, "commands");
  return commands.flatMap((command) => {
    const text = {
      name: `/${command.replaceAll("/", ":")}`,
      from: join(root, `${command}.md`),
      to: `${GUEST.home}/.claude/commands/${command}.md`,
    };
    return isFit(text.from, (message) =>
      say("commands", `${message}${suggestion(didYouMean(command, namesIn(root)))}`),
    )
      ? [text]
      : [];
  });
}

/** Read now so that a dry run finds what a launch would; read again at each launch. */
function isFit(path: string, say: (message: string) => void): boolean {
  const read = readTextFile(path);
  if (!read.ok) {
    say(`${path} ${read.message}`);
    return false;
  }
  const secret = secretIn(read.text);
  if (secret !== undefined) say(`${path} looks like it holds a secret (${secret})`);
  return secret === undefined;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).flatMap((file) => (file.endsWith(".md") ? [file.slice(0, -3)] : []));
  } catch {
    // No such folder: it has no names to suggest.
    return [];
  }
}

function settingsIn(path: string, wish: UserConfigWish, say: Say): PlannedUserConfig["settings"] {
  const tell = (message: string): void => say("settings", message);
  const wanted = wish.settings.filter((key) => {
    if (OWN_SETTINGS.includes(key)) return true;
    const reason = Object.hasOwn(REFUSED_SETTINGS, key) ? REFUSED_SETTINGS[key] : undefined;
    const meant = suggestion(didYouMean(key, OWN_SETTINGS));
    tell(`${key} does not come along: ${reason ?? `it is none of the settings that may${meant}`}`);
    return false;
  });
  const own = wanted.length === 0 ? {} : mapAt(path, tell);
  return Object.fromEntries(
    wanted.flatMap((key): [string, unknown][] => {
      const value = Object.hasOwn(own ?? {}, key) ? own?.[key] : undefined;
      if (value === undefined) {
        if (own !== undefined) tell(`${path} has no ${key}`);
        return [];
      }
      const text = JSON.stringify(value);
      const secret = secretIn(text);
      if (text.length > MAX_SETTING_BYTES)
        tell(`${key} in ${path} is larger than ${MAX_SETTING_BYTES} bytes`);
      else if (secret !== undefined) tell(`${key} in ${path} looks like it holds a secret (${secret})`);
      else return [[key, value]];
      return [];
    }),
  );
}

function serversIn(path: string, { mcpServers }: UserConfigWish, say: Say): readonly PlannedMcpServer[] {
  const tell = (message: string): void => say("mcp_servers", message);
  if (mcpServers.length === 0) return [];
  const state = mapAt(path, tell);
  if (state === undefined) return [];
  const servers = isMap(state["mcpServers"]) ? state["mcpServers"] : {};
  return mcpServers.flatMap((name) => {
    if (!Object.hasOwn(servers, name)) {
      const meant = suggestion(didYouMean(name, Object.keys(servers)));
      tell(`${path} has no mcpServers.${name}${meant}; claude mcp add --scope user adds one`);
      return [];
    }
    const own = ownServer(name, servers[name]);
    if (own.ok) return [own.server];
    for (const fault of own.faults) tell(`mcpServers.${name} in ${path}: ${fault}`);
    return [];
  });
}

function mapAt(path: string, say: (message: string) => void): Readonly<Record<string, unknown>> | undefined {
  const read = readTextFile(path, MAX_STATE_BYTES);
  if (!read.ok) {
    say(`${path} ${read.message}`);
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(read.text);
    if (isMap(value)) return value;
  } catch {
    // The parser quotes what it stumbled over, which may be a secret.
  }
  say(`${path} is no JSON object: claude doctor tells more`);
  return undefined;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

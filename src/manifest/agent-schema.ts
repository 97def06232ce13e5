/** Every key of an agent. The file's body is its prompt. */
import * as z from "zod";
import { agentGitGate } from "./git-schema.ts";
import { name } from "./scalars.ts";
import { userConfig } from "./user-config-schema.ts";

const IGNORED = "Not used. Accepted so that the file can also be a Claude subagent.";

export const agentSchema = z.strictObject({
  bottle: name.exactOptional().describe("The bottle this agent runs in, by name."),
  skills: z
    .array(name)
    .exactOptional()
    .describe("Skills to bring along: folders in ~/.bot-bottle/skills or ~/.claude/skills."),
  "git-gate": agentGitGate
    .exactOptional()
    .describe("Who commits. Not for an agent that a repository brings."),
  user_config: userConfig
    .exactOptional()
    .describe(
      "What of your own configuration of the agent's product comes along. Not for an agent that a repository brings.",
    ),
  name: z.string().exactOptional().describe(`${IGNORED} An agent's name is its file's.`),
  description: z.string().exactOptional().describe("What the agent is for, in a line."),
  model: z.string().exactOptional().describe(IGNORED),
  color: z.string().exactOptional().describe(IGNORED),
  memory: z.string().exactOptional().describe(IGNORED),
});

export type Agent = z.output<typeof agentSchema>;

/** `git-gate`: who commits, and which repositories may be fetched and pushed. */
import * as z from "zod";
import { hostPath, line, name, variable } from "./scalars.ts";

// Git writes identity as `name <email>`; a bracket in either forges the other.
const identityText = line.refine((text) => !/[<>]/.test(text), "must not contain < or >");

export const gitUser = z
  .strictObject({
    name: identityText.exactOptional().describe("The name on commits."),
    email: identityText.exactOptional().describe("The e-mail address on commits."),
  })
  .refine((user) => Object.keys(user).length > 0, "is empty: give name, email or both");

const repoKey = z.discriminatedUnion("provider", [
  z.strictObject({
    provider: z.literal("static").describe("A key that you have."),
    path: hostPath.describe("The private SSH key on your host. Only git-gate gets it."),
  }),
  z.strictObject({
    provider: z.literal("gitea").describe("A fresh deploy key for each bottle, made on a Gitea server."),
    forge_token_env: variable.describe("The variable of your environment with the server's API token."),
  }),
]);

const repo = z.strictObject({
  url: line.exactOptional().describe("The upstream's URL, such as ssh://git@example.com/team/project.git."),
  key: repoKey.exactOptional().describe("How git-gate authenticates to the upstream."),
  host_key: line.exactOptional().describe("The upstream's SSH host key: type and base64."),
  refs: z.array(line).exactOptional().describe("The refs that may be pushed."),
  paths: z.array(line).exactOptional().describe("The paths that a push may change."),
  review: z.boolean().exactOptional().describe("Whether every push waits for the operator."),
});

/** An agent brings an identity at most. */
export const agentGitGate = z.strictObject({
  user: gitUser.exactOptional().describe("Who commits; laid over the bottle's, field by field."),
});

export const bottleGitGate = z.strictObject({
  user: gitUser.exactOptional().describe("Who commits."),
  repos: z.record(name, repo).exactOptional().describe("Repositories behind git-gate, by the name they get."),
});

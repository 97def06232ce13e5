/** `git-gate`: who commits, and which repositories may be fetched and pushed. */
import * as z from "zod";
import { repository, repositoryName } from "./repository-schema.ts";
import { line } from "./scalars.ts";

// Git writes identity as `name <email>`; a bracket in either forges the other.
const identityText = line.refine((text) => !/[<>]/.test(text), "must not contain < or >");

export const gitUser = z
  .strictObject({
    name: identityText.exactOptional().describe("The name on commits."),
    email: identityText.exactOptional().describe("The e-mail address on commits."),
  })
  .refine((user) => Object.keys(user).length > 0, "is empty: give name, email or both");

/** An agent brings an identity at most. */
export const agentGitGate = z.strictObject({
  user: gitUser.exactOptional().describe("Who commits; laid over the bottle's, field by field."),
});

export const bottleGitGate = z.strictObject({
  user: gitUser.exactOptional().describe("Who commits."),
  repos: z
    .record(repositoryName, repository)
    .exactOptional()
    .describe("Repositories behind git-gate, by the name they get."),
});

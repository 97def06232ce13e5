/**
 * One repository of `git-gate.repos`. What a single key can say wrong is found here; what only all of them
 * together can (a key for this kind of URL, a pin) in repositories.ts, once a chain is merged.
 */
import * as z from "zod";
import { ASK_LIMITS, LASTING_EXCEPTION_CODES } from "../contract/approvals.ts";
import { gitRepoName } from "../contract/git-gate.ts";
import { BOTTLE_ID, type PlannedRef } from "../contract/repository.ts";
import { faultOfRefPattern } from "../lib/git-ref.ts";
import { parseHostPort } from "../lib/host.ts";
import { accept, type Parsed, parsedText, reject } from "../lib/parsed.ts";
import { parseGitUrl } from "./git-url.ts";
import { isHostKey } from "./known-hosts.ts";
import { byteSizeWithin, hostPath, line, name, variable } from "./scalars.ts";

/** A name like any other, and one that git leaves alone in a URL. */
export const repositoryName = name.refine((text) => gitRepoName.safeParse(text).success, {
  message: "must not end in .git or .lock: it is the name in the gate's URL, and .git is added to it",
  abort: true,
});

/** How git-gate proves itself to the upstream. */
export type RepoKey =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "agent"; readonly publicKey?: string }
  | { readonly kind: "token"; readonly tokenRef: string; readonly username?: string }
  | { readonly kind: "gitea"; readonly tokenRef: string; readonly server?: string };

/** `ssh-ed25519 AAAA… comment` as ssh-keygen writes it: the comment says nothing. */
const sshKey = parsedText((text): Parsed<string> => {
  const key = text.trim().split(/\s+/).slice(0, 2).join(" ");
  return isHostKey(key)
    ? accept(key)
    : reject("must be a public key: its type and its base64, such as ssh-ed25519 AAAA…");
});

const keyText = z.string().transform((text, context): RepoKey => {
  if (text === "agent") return { kind: "agent" };
  const path = hostPath.safeParse(text);
  if (path.success) return { kind: "file", path: path.data };
  context.addIssue({
    code: "custom",
    message: "must be agent (your ssh-agent), the path of a private key such as ~/.ssh/id_ed25519, or a map",
  });
  return z.NEVER;
});

const serverUrl = parsedText((text): Parsed<string> => {
  const parts = /^https:\/\/([^/?#@\\\s]+)((?:\/[A-Za-z0-9._~-]+)*)\/?$/.exec(text);
  const place = parts?.[1] ?? "";
  const host = parseHostPort(/:[0-9]+$/.test(place) ? place : `${place}:443`);
  return parts !== null && host.ok
    ? accept(`https://${place}${parts[2] ?? ""}`)
    : reject("must be the server's address, such as https://git.example.com");
});

const keyMap = z.discriminatedUnion("provider", [
  z
    .strictObject({
      provider: z.literal("static").describe("A key that you have."),
      path: hostPath.describe("The private SSH key on your host. Only git-gate gets it."),
    })
    .transform(({ path }): RepoKey => ({ kind: "file", path })),
  z
    .strictObject({
      provider: z.literal("agent").describe("Your ssh-agent."),
      public_key: sshKey
        .exactOptional()
        .describe("Which of its keys, as ssh-add -L prints it; any when absent."),
    })
    .transform(
      ({ public_key: publicKey }): RepoKey => ({
        kind: "agent",
        ...(publicKey !== undefined && { publicKey }),
      }),
    ),
  z
    .strictObject({
      provider: z.literal("token").describe("A token, for an https URL."),
      token_ref: variable.describe("The variable of your environment with the token."),
      username: line
        .refine((text) => !text.includes(":"), "must not contain a colon")
        .exactOptional()
        .describe("The name beside the token; forges mostly take any."),
    })
    .transform(
      ({ token_ref: tokenRef, username }): RepoKey => ({
        kind: "token",
        tokenRef,
        ...(username !== undefined && { username }),
      }),
    ),
  z
    .strictObject({
      provider: z.literal("gitea").describe("A fresh deploy key for each bottle, made on a Gitea server."),
      url: serverUrl
        .exactOptional()
        .describe("The server's address. Default: https and the repository's host."),
      token_ref: variable
        .exactOptional()
        .describe("The variable of your environment with the server's API token."),
      forge_token_env: variable.exactOptional().describe("The same as token_ref, by its older name."),
    })
    .transform((value, context): RepoKey => {
      const tokenRef = value.token_ref ?? value.forge_token_env;
      if (tokenRef === undefined || (value.token_ref !== undefined && value.forge_token_env !== undefined)) {
        context.addIssue({
          code: "custom",
          message: "needs token_ref, once: the variable with the server's API token",
        });
        return z.NEVER;
      }
      return { kind: "gitea", tokenRef, ...(value.url !== undefined && { server: value.url }) };
    }),
]);

const refPattern = parsedText((text): Parsed<string> => {
  const fault = faultOfRefPattern(text.replaceAll(BOTTLE_ID, "id"));
  if (fault === undefined) return accept(text);
  return reject(text.includes("{") ? `${fault}, and ${BOTTLE_ID} for the bottle's id` : fault);
});

const ref = z.union([
  refPattern.transform((pattern): PlannedRef => ({ pattern, force: false, delete: false })),
  z
    .strictObject({
      ref: refPattern.describe("A whole ref name; one * in it stands for one or more characters."),
      force: z.boolean().exactOptional().describe("May be moved to what does not descend from it."),
      delete: z.boolean().exactOptional().describe("May be deleted."),
    })
    .transform(
      (value): PlannedRef => ({
        pattern: value.ref,
        force: value.force ?? false,
        delete: value.delete ?? false,
      }),
    ),
]);

const glob = line.refine(
  (text) => !text.startsWith("/") && !text.split("/").includes(".."),
  "must be a path below the repository's root, without a slash in front; * and ? stand within a name, ** across",
);

const paths = z.strictObject({
  only: z
    .array(glob)
    .min(1, "is empty: leave it out, or name the paths that may change")
    .exactOptional()
    .describe("The only paths that a push may change."),
  unprotect: z
    .array(glob)
    .exactOptional()
    .describe("Paths that may change although they are protected by default, such as .github/workflows/**."),
});

/** A byte is a limit, if a strange one; above a tebibyte there is no push. */
const size = byteSizeWithin([1, "one byte"], [2 ** 40, "1T"]);
const count = z
  .number()
  .int("must be a whole number")
  .min(0, "must not be negative")
  .max(1e9, "is too large");

const limits = z.strictObject({
  push: size.exactOptional().describe("Bytes that one push may send, packed."),
  file: size.exactOptional().describe("Bytes of one file."),
  objects: count.exactOptional().describe("New objects in one push."),
  files: count.exactOptional().describe("Paths that one push may change."),
});

const exception = z.strictObject({
  code: z.enum(LASTING_EXCEPTION_CODES).describe("The code of the refusals that are not to be."),
  subjects: z
    .array(line.refine((text) => text.length <= ASK_LIMITS.subjectLength, "is too long"))
    .min(1, "is empty: name the paths or refs, as the refusal did")
    .describe("Whole paths or refs, to the letter: no character stands for others."),
});

export const repository = z.strictObject({
  url: parsedText(parseGitUrl)
    .exactOptional()
    .describe(
      "The upstream: ssh://git@example.com/team/project.git, git@example.com:team/project.git, https://…, or a path.",
    ),
  key: z.union([keyText, keyMap]).exactOptional().describe("How git-gate proves itself to the upstream."),
  host_key: z
    .union([sshKey, z.array(sshKey).min(1, "is empty: name the host's key")])
    .exactOptional()
    .describe(
      "The upstream's SSH host key or keys: type and base64. Without it nothing is fetched or pushed.",
    ),
  upstream_ca: z
    .array(hostPath)
    .exactOptional()
    .describe("PEM files on your host; the upstream's certificate must come from one of them."),
  refs: z
    .array(ref)
    .min(1, "is empty: leave it out for refs/heads/bottle/{id}/*")
    .exactOptional()
    .describe("The refs that may be pushed, and no others. Default refs/heads/bottle/{id}/*."),
  paths: paths.exactOptional().describe("Which paths a push may change."),
  limits: limits.exactOptional().describe("How much one push may bring."),
  exceptions: z
    .array(exception)
    .exactOptional()
    .describe(
      "What passes although git-gate refuses such things: what bottle inbox approve --always writes.",
    ),
  review: z.boolean().exactOptional().describe("Whether every push waits for the operator."),
});
export type Repository = z.output<typeof repository>;

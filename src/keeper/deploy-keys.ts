/**
 * Deploy keys of one bottle: made in memory at launch, removed from the forge at its end. What is on disk about
 * one is written before the forge learns of it and goes when the forge has forgotten it, and holds no secret: so a
 * key that a crash or a forge's refusal left is found again, by `bottle cleanup` or by a person. A key that could
 * not be removed is an open door, and is said as loudly as there is.
 */
import { createHash } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import * as z from "zod";
import type { AuditLog } from "../audit/log.ts";
import {
  addDeployKey,
  deployKeysPage,
  findDeployKey,
  type GiteaRepository,
  removeDeployKey,
} from "../bundle/gitea.ts";
import { makeSshKeyPair } from "../bundle/private-key.ts";
import type { PlannedDeployKey, PlannedRepo } from "../contract/repository.ts";
import { codeOf, messageOf, UserError } from "../lib/errors.ts";
import { writeFileAtomic } from "../lib/paths.ts";
import type { Scope } from "../lib/scope.ts";

const recordSchema = z.strictObject({
  repo: z.string(),
  forge: z.literal("gitea"),
  server: z.string(),
  repository: z.string(),
  tokenRef: z.string(),
  authorities: z.array(z.string()),
  title: z.string(),
  /** `SHA256:…`, as the forge shows it. */
  fingerprint: z.string(),
  /** The forge's number for it; absent until it has said so. */
  id: z.number().int().optional(),
});
type DeployKeyRecord = z.infer<typeof recordSchema>;

/** A token by the name the operator's environment has it under. */
export type TokenNamed = (tokenRef: string) => string | undefined;

export interface MadeKeys {
  /** Secret: private keys by the repository they are for. */
  readonly keys: ReadonlyMap<string, string>;
}

/**
 * Makes a key for each repository that wants one, and has them removed when `scope` closes.
 * @param left called when one could not be removed: its record must outlive the bottle.
 * @throws UserError when the forge does not take one; those made before are removed by the scope.
 */
export async function makeDeployKeys(
  request: {
    readonly id: string;
    readonly repos: readonly PlannedRepo[];
    /** Where the records lie. */
    readonly file: string;
    readonly token: TokenNamed;
    readonly log: AuditLog;
    readonly left: () => void;
  },
  scope: Scope,
): Promise<MadeKeys> {
  const { id, file, token, log } = request;
  const wanted = request.repos.flatMap(({ name, upstream }) =>
    upstream.kind === "ssh" && upstream.key.kind === "deploy" ? [{ name, planned: upstream.key }] : [],
  );
  const keys = new Map<string, string>();
  // Also without any: an earlier life of the bottle may have left some.
  const records = [...(await readDeployKeys(file))];
  if (wanted.length + records.length === 0) return { keys };

  const save = (): Promise<void> => writeRecords(file, records);
  const remove = async (record: DeployKeyRecord): Promise<void> => {
    await removeFromForge(record, token);
    records.splice(records.indexOf(record), 1);
    await save();
    await log.append("deploy-key.removed", {
      repo: record.repo,
      repository: record.repository,
      title: record.title,
    });
  };
  scope.defer("deploy keys", async () => {
    const problems: string[] = [];
    for (const record of [...records]) {
      try {
        await remove(record);
      } catch (error) {
        request.left();
        problems.push(describeLeft(id, record, error));
        await log.append("deploy-key.left", {
          repo: record.repo,
          ...shown(record),
          reason: messageOf(error),
        });
      }
    }
    if (problems.length > 0) throw new UserError(problems.join("; "));
  });

  for (const { name, planned } of wanted) {
    const { privateKey, publicKey } = makeSshKeyPair();
    const record: DeployKeyRecord = {
      ...{ repo: name, forge: planned.forge, server: planned.server, repository: planned.repository },
      ...{ tokenRef: planned.tokenRef, authorities: [...planned.authorities] },
      title: `bot-bottle ${id} ${fingerprintOf(publicKey).slice(7, 15)}`,
      fingerprint: fingerprintOf(publicKey),
    };
    records.push(record);
    await save();
    record.id = await addDeployKey(await repositoryOf(planned, token), { title: record.title, publicKey });
    await save();
    await log.append("deploy-key.added", { repo: name, ...shown(record) });
    keys.set(name, privateKey);
  }
  return { keys };
}

/** Of keys that may still be at a forge. @throws UserError when the file is damaged. */
export async function readDeployKeys(file: string): Promise<readonly DeployKeyRecord[]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
  try {
    return z.array(recordSchema).parse(JSON.parse(text));
  } catch (cause) {
    throw new UserError(`${file} is damaged: it named deploy keys of a bottle that are still at a forge`, {
      hint: "remove those that begin with bot-bottle in the repository's settings, then this file",
      cause,
    });
  }
}

/** Removes what an earlier life left. @throws UserError naming each that is still there, and how to remove it. */
export async function removeLeftDeployKeys(id: string, file: string, token: TokenNamed): Promise<void> {
  const problems: string[] = [];
  let records = await readDeployKeys(file);
  for (const record of records) {
    try {
      await removeFromForge(record, token);
      records = records.filter((each) => each !== record);
      await writeRecords(file, records);
    } catch (error) {
      problems.push(describeLeft(id, record, error));
    }
  }
  if (problems.length > 0) throw new UserError(problems.join("\n       "));
}

async function removeFromForge(record: DeployKeyRecord, token: TokenNamed): Promise<void> {
  const at = await repositoryOf(record, token);
  // A crash between the forge's taking it and our noting its number.
  const number = record.id ?? (await findDeployKey(at, record.fingerprint));
  if (number !== undefined) await removeDeployKey(at, number);
}

async function repositoryOf(
  key: Pick<PlannedDeployKey, "server" | "repository" | "tokenRef" | "authorities">,
  token: TokenNamed,
): Promise<GiteaRepository> {
  const value = token(key.tokenRef);
  if (value === undefined || value === "") throw new UserError(`${key.tokenRef} is not set`);
  const authorities = await Promise.all(key.authorities.map((path) => readFile(path, "utf8")));
  return { server: key.server, repository: key.repository, token: value, authorities };
}

function writeRecords(file: string, records: readonly DeployKeyRecord[]): Promise<void> {
  return records.length === 0
    ? rm(file, { force: true })
    : writeFileAtomic(file, `${JSON.stringify(records, null, 2)}\n`);
}

function shown({ repository, server, title, id }: DeployKeyRecord): Readonly<Record<string, unknown>> {
  return { server, repository, title, ...(id !== undefined && { id }) };
}

function describeLeft(id: string, record: DeployKeyRecord, error: unknown): string {
  return (
    `THE DEPLOY KEY "${record.title}" CAN STILL PUSH to ${record.server}/${record.repository}: ${messageOf(error)}; ` +
    `remove it at ${deployKeysPage(record)}, or export ${record.tokenRef}=… and run bottle cleanup (bottle ${id})`
  );
}

/** As ssh-keygen and forges show it. */
function fingerprintOf(publicKey: string): string {
  const blob = Buffer.from(publicKey.split(" ")[1] ?? "", "base64");
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

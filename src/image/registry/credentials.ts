/**
 * What the operator is known by to a registry: as `docker login` and `podman login` left it. Contract (I2): it is
 * read when a registry asks, goes to that registry's own login alone, and is in no argv, log or error.
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { codeOf, UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { run } from "../../lib/processes.ts";

export type Credential =
  | { readonly kind: "password"; readonly user: string; readonly password: string }
  /** Exchanged for a token, by those who log in on a web page. */
  | { readonly kind: "identity-token"; readonly token: string };

/** Helpers ask a keyring, which may ask the operator. */
const HELPER_TIMEOUT_MS = 60_000;
const MAX_HELPER_BYTES = 1024 * 1024;

/** As helpers mark a token that is no password. */
const TOKEN_USER = "<token>";

/** Under which docker keeps what is Docker Hub's. */
const HUB_KEYS = ["index.docker.io", "docker.io", "registry-1.docker.io"];

const configFile = z.looseObject({
  auths: z
    .record(
      z.string(),
      z.looseObject({
        auth: z.string().optional(),
        username: z.string().optional(),
        password: z.string().optional(),
        identitytoken: z.string().optional(),
      }),
    )
    .nullish(),
  credHelpers: z.record(z.string(), z.string()).nullish(),
  credsStore: z.string().nullish(),
});
type ConfigFile = z.output<typeof configFile>;

const helperAnswer = z.looseObject({ Username: z.string(), Secret: z.string() });

export interface CredentialRequest {
  readonly host: string;
  readonly repository: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Undefined: nothing is known, and one asks without. @throws UserError for a file or helper that is broken. */
export async function findCredential(
  request: CredentialRequest,
  env: Environment = process.env,
): Promise<Credential | undefined> {
  for (const path of configPaths(env)) {
    const config = await readConfig(path);
    const found = config && (await credentialIn(config, request, path, env));
    if (found !== undefined) return found;
  }
  return undefined;
}

function configPaths(env: Environment): readonly string[] {
  const home = env["HOME"] || homedir();
  const runtime = env["XDG_RUNTIME_DIR"];
  return [
    ...(env["REGISTRY_AUTH_FILE"] ? [env["REGISTRY_AUTH_FILE"]] : []),
    ...(runtime ? [join(runtime, "containers/auth.json")] : []),
    join(env["DOCKER_CONFIG"] || join(home, ".docker"), "config.json"),
  ];
}

async function readConfig(path: string): Promise<ConfigFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw new UserError(`cannot read ${path}: ${codeOf(error) ?? "unknown"}`);
  }
  try {
    return configFile.parse(JSON.parse(text));
  } catch {
    // Without a cause: what a parser says of it may quote a password.
    throw new UserError(`${path} is not what docker login writes`, { hint: "docker login writes it anew" });
  }
}

async function credentialIn(
  config: ConfigFile,
  request: CredentialRequest,
  path: string,
  env: Environment,
): Promise<Credential | undefined> {
  const keys = keysFor(request);
  const helper = firstEntry(config.credHelpers ?? {}, keys);
  const store = helper?.value ?? config.credsStore ?? undefined;
  if (store !== undefined && store !== "") {
    const found = await askHelper(store, helper?.name ?? serverFor(config, keys), env);
    if (found !== undefined) return found;
  }
  const entry = firstEntry(config.auths ?? {}, keys)?.value;
  if (entry === undefined) return undefined;
  if (entry.identitytoken) return { kind: "identity-token", token: entry.identitytoken };
  if (entry.username !== undefined && entry.password !== undefined) {
    return { kind: "password", user: entry.username, password: entry.password };
  }
  const plain = Buffer.from(entry.auth ?? "", "base64")
    .toString("utf8")
    .replace(/\0+$/, "");
  const colon = plain.indexOf(":");
  if (entry.auth === undefined || entry.auth === "") return undefined;
  if (colon < 0)
    throw new UserError(`${path} has an auth for ${printable(request.host)} that is no user and password`);
  return { kind: "password", user: plain.slice(0, colon), password: plain.slice(colon + 1) };
}

/** The closest first: podman keeps credentials for parts of a registry. */
function keysFor({ host, repository }: CredentialRequest): readonly string[] {
  const parts = repository.split("/");
  const below = parts.map((_, i) => `${host}/${parts.slice(0, parts.length - i).join("/")}`);
  return [...below, ...(host === "docker.io" ? HUB_KEYS : [host])];
}

/** Docker's keys may be addresses: `https://index.docker.io/v1/`. */
function firstEntry<T>(
  entries: Readonly<Record<string, T>>,
  keys: readonly string[],
): { readonly name: string; readonly value: T } | undefined {
  for (const key of keys) {
    for (const [name, value] of Object.entries(entries)) {
      const plain = name.replace(/^https?:\/\//, "").replace(/\/(?:v[12]\/?)?$/, "");
      if (plain === key) return { name, value };
    }
  }
  return undefined;
}

function serverFor(config: ConfigFile, keys: readonly string[]): string {
  const known = firstEntry(config.auths ?? {}, keys)?.name;
  const host = keys.at(-1) ?? "";
  if (known !== undefined) return known;
  return HUB_KEYS.includes(host) ? "https://index.docker.io/v1/" : host;
}

/** `docker-credential-<name> get`: the server on its stdin, a credential on its stdout. */
async function askHelper(name: string, server: string, env: Environment): Promise<Credential | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new UserError("a credential helper is named by something that is no name", {
      hint: "see credsStore and credHelpers in ~/.docker/config.json",
    });
  }
  const program = `docker-credential-${name}`;
  const result = await run([program, "get"], {
    stdin: `${server}\n`,
    env,
    timeoutMs: HELPER_TIMEOUT_MS,
    maxOutputBytes: MAX_HELPER_BYTES,
  }).catch((error: unknown) => {
    throw new UserError(`cannot run the credential helper ${program}: ${codeOf(error) ?? "it did not end"}`, {
      hint: "install it, or take it out of ~/.docker/config.json",
    });
  });
  // It has nothing for this server, and says so on stdout.
  if (result.code !== 0) return undefined;
  let answer: z.output<typeof helperAnswer>;
  try {
    answer = helperAnswer.parse(JSON.parse(result.stdout.toString("utf8")));
  } catch {
    throw new UserError(`the credential helper ${program} answered nothing that is a credential`);
  }
  if (answer.Username === TOKEN_USER) return { kind: "identity-token", token: answer.Secret };
  return { kind: "password", user: answer.Username, password: answer.Secret };
}

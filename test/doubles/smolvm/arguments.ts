/** The command line as clap would read it: what a release does not know is a usage error, exit 2. */
import type { Release } from "./release.ts";

export class UsageError extends Error {}

/** `short` where there is one; `value`: takes one; `many`: may come again. */
interface Option {
  readonly short?: string;
  readonly value?: boolean;
  readonly many?: boolean;
}

interface Shape {
  readonly options: Readonly<Record<string, Option>>;
  /** Names of the positionals. */
  readonly positionals: readonly string[];
  /** Takes a command after `--`. */
  readonly command?: boolean;
}

export interface Parsed {
  flag(name: string): boolean;
  one(name: string): string | undefined;
  all(name: string): readonly string[];
  readonly positionals: readonly string[];
  readonly command: readonly string[];
}

const VALUE: Option = { value: true };
const MANY: Option = { value: true, many: true };
const FLAG: Option = {};
const NAME: Option = { short: "n", value: true };

const CREATE: Readonly<Record<string, Option>> = {
  image: { short: "I", value: true },
  cpus: VALUE,
  mem: VALUE,
  storage: VALUE,
  overlay: VALUE,
  volume: { short: "v", ...MANY },
  port: { short: "p", ...MANY },
  net: FLAG,
  "net-backend": VALUE,
  "allow-cidr": MANY,
  "allow-host": MANY,
  "outbound-localhost-only": FLAG,
  gpu: FLAG,
  "gpu-vram": VALUE,
  init: MANY,
  env: { short: "e", ...MANY },
  workdir: { short: "w", value: true },
  "ssh-agent": FLAG,
  smolfile: { short: "s", value: true },
  from: VALUE,
};

const CREATE_1_9: Readonly<Record<string, Option>> = {
  label: MANY,
  dns: VALUE,
  network: VALUE,
  "mount-socket": MANY,
  "expose-socket": MANY,
  "secret-env": MANY,
  "secret-file": MANY,
  "docker-socket": FLAG,
  "max-image-size": VALUE,
};

const EXEC: Readonly<Record<string, Option>> = {
  workdir: { short: "w", value: true },
  env: { short: "e", ...MANY },
  timeout: VALUE,
  interactive: { short: "i" },
  tty: { short: "t" },
  stream: FLAG,
};

const PACK: Readonly<Record<string, Option>> = {
  image: { short: "I", value: true },
  "from-vm": VALUE,
  smolfile: { short: "s", value: true },
  output: { short: "o", value: true },
  cpus: VALUE,
  mem: VALUE,
  "oci-platform": VALUE,
  entrypoint: VALUE,
  "single-file": FLAG,
  "no-sign": FLAG,
  gpu: FLAG,
};

function shapeOf(release: Release, words: string): Shape | undefined {
  // From 1.0.2 on names are options everywhere.
  const positional = release.before(1, 0, 2);
  const named = (options: Readonly<Record<string, Option>>): Shape =>
    positional
      ? { options, positionals: ["NAME"] }
      : { options: { ...options, name: NAME }, positionals: [] };
  const late = !release.before(1, 9, 0);
  switch (words) {
    case "machine create":
      return named(late ? { ...CREATE, ...CREATE_1_9 } : CREATE);
    case "machine delete":
      return named({ force: { short: "f" }, ...(late && { cascade: FLAG }) });
    case "machine data-dir":
      return named({});
    case "machine start":
    case "machine stop":
      return { options: { name: NAME }, positionals: [] };
    case "machine status":
      return { options: { name: NAME, json: FLAG }, positionals: [] };
    case "machine ls":
      return { options: { verbose: { short: "v" }, json: FLAG }, positionals: [] };
    case "machine exec":
      return {
        // No short form here.
        options: {
          name: VALUE,
          ...EXEC,
          ...(late && { detach: { short: "d" }, "secret-env": MANY, "secret-file": MANY }),
        },
        positionals: [],
        command: true,
      };
    case "machine cp":
      return {
        options: late ? { mode: VALUE, uid: VALUE, gid: VALUE } : {},
        positionals: ["SRC", "DST"],
      };
    case "pack create":
      return { options: late ? { ...PACK, "staging-dir": VALUE } : PACK, positionals: [] };
    case "pack inspect":
      return { options: { json: FLAG }, positionals: ["REF"] };
    default:
      return undefined;
  }
}

/** @throws UsageError */
export function parse(release: Release, words: string, argv: readonly string[]): Parsed {
  const shape = shapeOf(release, words);
  if (shape === undefined) throw new UsageError(`unrecognized subcommand '${words}'`);
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  let command: readonly string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--") {
      if (shape.command !== true) throw new UsageError("unexpected argument '--' found");
      command = argv.slice(i + 1);
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      if (positionals.length >= shape.positionals.length)
        throw new UsageError(`unexpected argument '${word}' found`);
      positionals.push(word);
      continue;
    }
    const [long, inline] = word.startsWith("--") ? word.slice(2).split(/=(.*)/s) : [undefined, undefined];
    const [name, option] =
      Object.entries(shape.options).find(
        ([key, { short }]) => key === long || (!!short && `-${short}` === word),
      ) ?? [];
    if (name === undefined || option === undefined)
      throw new UsageError(`unexpected argument '${word}' found`);
    if (values.has(name) && option.many !== true)
      throw new UsageError(`the argument '--${name}' cannot be used multiple times`);
    let value = inline ?? "";
    if (option.value === true && inline === undefined) {
      i += 1;
      const next = argv[i];
      if (next === undefined) throw new UsageError(`a value is required for '--${name}'`);
      value = next;
    }
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  if (positionals.length < shape.positionals.length && words !== "machine create")
    throw new UsageError(
      `the following required arguments were not provided: <${shape.positionals[positionals.length]}>`,
    );
  return {
    flag: (name) => values.has(name),
    one: (name) => values.get(name)?.[0],
    all: (name) => values.get(name) ?? [],
    positionals,
    command,
  };
}

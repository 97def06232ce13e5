/**
 * An ask, from the arguments of an agent's call: those of a denial's ready-made call, or broader ones. They are read
 * whole or refused whole, and nothing in them is repaired into something wider.
 */
import { ASK_LIMITS, type Ask, askSchema, GIT_EXCEPTION_CODES } from "../contract/approvals.ts";
import { faultOfRefPattern } from "../lib/git-ref.ts";
import { parseHost } from "../lib/host.ts";
import { accept, type Parsed, quoted, reject } from "../lib/parsed.ts";
import { faultOfExactRule, faultOfPrefixRule } from "../lib/request-path.ts";
import { parseAskedHost } from "./asked-host.ts";

/** Of `request_access`. */
export interface AccessArguments {
  readonly host?: string | undefined;
  /** One, and one path exactly: as in a denial. */
  readonly method?: string | undefined;
  readonly path?: string | undefined;
  readonly methods?: readonly string[] | undefined;
  /** `/a` is this path, `/a/*` it and all below. */
  readonly paths?: readonly string[] | undefined;
  readonly repository?: string | undefined;
  readonly refs?: readonly string[] | undefined;
  readonly force?: boolean | undefined;
  readonly delete?: boolean | undefined;
  /** Of the environment, by name; files by the path where they are wanted. */
  readonly variables?: readonly string[] | undefined;
  readonly files?: readonly string[] | undefined;
  readonly programs?: readonly string[] | undefined;
}

/** Of `request_exception`: a finding of egress's, or a refusal of git-gate's. */
export interface ExceptionArguments {
  readonly host?: string | undefined;
  readonly detector?: string | undefined;
  readonly finding?: string | undefined;
  readonly repo?: string | undefined;
  readonly code?: string | undefined;
  readonly subjects?: readonly string[] | undefined;
}

export function parseAccess(args: AccessArguments): Parsed<Ask> {
  const { host, repository } = args;
  const ofHost = [host, args.method, args.path, args.methods, args.paths].some((each) => each !== undefined);
  const ofRepository = [repository, args.refs, args.force, args.delete].some((each) => each !== undefined);
  const { variables, files, programs } = args;
  const ofEnvironment = [variables, files, programs].some((each) => each !== undefined);
  if ([ofHost, ofRepository, ofEnvironment].filter(Boolean).length > 1) {
    return reject(
      "ask for a host, for a repository or for what the environment lacks, not for several at once",
    );
  }
  if (ofEnvironment) {
    const of = (names: readonly string[] = []): string[] => [...names];
    return canonicalAsk({
      kind: "environment",
      ...{ variables: of(variables), files: of(files), programs: of(programs) },
    });
  }
  if (ofRepository) {
    if (repository === undefined) return reject("name the repository whose refs are to be pushed to");
    const { refs = [], force = false, delete: remove = false } = args;
    return canonicalAsk({ kind: "repository", repo: repository, refs: [...refs], force, delete: remove });
  }
  if (host === undefined) return reject("name the host to be reached, or the repository to be pushed to");
  return canonicalAsk({
    kind: "host",
    host,
    methods: [...one(args.method), ...(args.methods ?? [])],
    paths: [...one(args.path).map(exactly), ...(args.paths ?? []).map(pathRule)],
  });
}

export function parseException(args: ExceptionArguments): Parsed<Ask> {
  const { host, detector, finding, repo, subjects = [] } = args;
  if (repo !== undefined || args.code !== undefined) {
    const code = GIT_EXCEPTION_CODES.find((each) => each === args.code);
    if (code !== undefined && repo !== undefined && subjects.length > 0) {
      return canonicalAsk({ kind: "git-exception", repo, code, subjects: [...subjects] });
    }
    return reject(
      "no exception can be made for this: of git-gate's denials those that name subjects can be lifted, " +
        `with the code ${GIT_EXCEPTION_CODES.join(", ")}`,
    );
  }
  if (host === undefined || detector === undefined || finding === undefined) {
    return reject("pass on what the denial named: finding, detector and host; or repo, code and subjects");
  }
  return canonicalAsk({ kind: "finding", host, detector, finding });
}

/** An ask in its one spelling, or what is wrong with it. Its own result passes unchanged. */
export function canonicalAsk(ask: Ask): Parsed<Ask> {
  switch (ask.kind) {
    case "host": {
      const host = parseAskedHost(ask.host);
      if (!host.ok) return reject(`host: ${host.reason}`);
      const methods = ask.methods.map((method) => method.toUpperCase());
      const badMethod = methods.find((method) => !/^[A-Z][A-Z-]{0,31}$/.test(method) || method === "CONNECT");
      if (badMethod !== undefined) return reject(`methods: ${quoted(badMethod)} is no method such as GET`);
      for (const { type, value } of ask.paths) {
        const fault = type === "exact" ? faultOfExactRule(value) : faultOfPrefixRule(value);
        if (fault !== undefined) return reject(`paths: ${quoted(value)} ${fault}`);
      }
      return checked({ ...ask, host: host.value, methods: sorted(methods), paths: sortedPaths(ask.paths) });
    }
    case "repository": {
      if (ask.refs.length === 0) return reject("refs: name what is to be pushed to, such as refs/heads/main");
      for (const ref of ask.refs) {
        const fault = faultOfRefPattern(ref);
        if (fault !== undefined) return reject(`refs: ${quoted(ref)} ${fault}`);
      }
      return checked({ ...ask, refs: sorted(ask.refs) });
    }
    case "environment": {
      const [variables, files, programs] = [sorted(ask.variables), sorted(ask.files), sorted(ask.programs)];
      if (variables.length + files.length + programs.length === 0) {
        return reject("name the variables, files or programs that the environment lacks");
      }
      return checked({ ...ask, variables, files, programs });
    }
    case "finding": {
      const host = parseHost(ask.host);
      return host.ok ? checked({ ...ask, host: host.value }) : reject(`host: ${host.reason}`);
    }
    case "git-exception": {
      const most = ASK_LIMITS.subjects;
      return ask.subjects.length > most
        ? reject(
            `subjects: ${ask.subjects.length} at once is more than the ${most} that a person looks through`,
          )
        : checked({ ...ask, subjects: sorted(ask.subjects) });
    }
  }
}

function checked(ask: Ask): Parsed<Ask> {
  const parsed = askSchema.safeParse(ask);
  if (parsed.success) return accept(parsed.data);
  const [issue] = parsed.error.issues;
  return reject(`${issue?.path.join(".") ?? "the request"}: ${issue?.message ?? "is not valid"}`);
}

type Path = Extract<Ask, { kind: "host" }>["paths"][number];

function exactly(value: string): Path {
  return { type: "exact", value };
}

function pathRule(text: string): Path {
  return text.endsWith("/*") ? { type: "prefix", value: text.slice(0, -2) || "/" } : exactly(text);
}

function sortedPaths(paths: readonly Path[]): Path[] {
  const bare = paths.map(({ type, value }) =>
    type === "prefix" ? { type, value: value.replace(/(?<=.)\/$/, "") } : { type, value },
  );
  const byText = new Map(bare.map((path) => [`${path.type} ${path.value}`, path]));
  return sorted([...byText.keys()]).flatMap((text) => byText.get(text) ?? []);
}

function sorted(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort();
}

function one(text: string | undefined): readonly string[] {
  return text === undefined ? [] : [text];
}

/** git's own client, and other programs. */
import { spawnSync } from "node:child_process";
import { type Answered, ask } from "./http.ts";
import { cannot, got, refused } from "./verdict.ts";

/** git, as it is set up; refused when the gate says so. */
export function git(...args: readonly string[]): never {
  const from = performance.now();
  const { error, status, stdout, stderr } = spawnSync("git", args, { encoding: "utf8", timeout: 20_000 });
  if (error !== undefined && (error as NodeJS.ErrnoException).code === "ENOENT") cannot("git is not here");
  if (status === 0) got(`git ${args.slice(0, 3).join(" ")} was done: ${stdout}${stderr}`);
  const text = stderr.replace(/^remote: ?/gm, "");
  const code = /denied: ([a-z-]+):? /.exec(text)?.[1] ?? gitCode(text);
  const explained = /^rule: .* /m.test(text) && /^ask: \w/m.test(text);
  return refused(code, { ms: performance.now() - from, explained, words: text.trim().split("\n")[0] ?? "" });
}

/** git's own words for what its kernel or its server said. */
function gitCode(text: string): string {
  const known: readonly (readonly [RegExp, string])[] = [
    [/Network is unreachable/, "ENETUNREACH"],
    [/Connection refused|Couldn't connect to server/, "ECONNREFUSED"],
    [/Could not resolve/, "ENOTFOUND"],
    [/Temporary failure in name resolution/, "ENOTFOUND"],
    [/error: 401|Authentication failed|could not read Username/, "http-401"],
    [/error: 403/, "http-403"],
    [/error: 404|not found/, "http-404"],
  ];
  return known.find(([pattern]) => pattern.test(text))?.[1] ?? "git-failed";
}

/** Runs what must succeed for the attack to be one. */
export function must(command: string, ...args: readonly string[]): string {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined || status !== 0)
    cannot(`${command} ${args.join(" ").slice(0, 60)}: ${error?.message ?? stderr}`);
  return stdout.trim();
}

/** Asks the bottle's gate for what git asks for first, or for a path as it is written, which git's own client would put in order. */
export function gate({
  repository = "/app.git",
  path = "/info/refs?service=git-upload-pack",
  isBare = false,
} = {}): Promise<Answered> {
  const { origin } = new URL(must("git", "ls-remote", "--get-url", "git-gate:app"));
  const bearer = must("git", "config", "--includes", "--get", `http.${origin}/.extraHeader`);
  const headers = isBare ? {} : Object.fromEntries([bearer.split(/: */)]);
  return ask(origin, { path: repository + path, headers });
}

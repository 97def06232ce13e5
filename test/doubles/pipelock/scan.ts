/** What a pipelock finds in what leaves: a handful of its built-in patterns. */

const PATTERNS: readonly RegExp[] = [
  /sk-ant-[a-z0-9\-_]{20,}/i,
  /sk-proj-[a-z0-9\-_]{20,}/i,
  /gh[pousr]_[a-z0-9_]{36,}/i,
  /github_pat_[a-z0-9_]{36,}/i,
  /glpat-[a-z0-9\-_]{20,}/i,
  /(AKIA|ASIA)[A-Z0-9]{16,}/,
  /xox[bpras]-[0-9a-z-]{15,}/i,
  /-----BEGIN\s+([A-Z]+\s+)?PRIVATE\s+KEY-----/,
];

export function hasSecret(text: string): boolean {
  return PATTERNS.some((pattern) => pattern.test(text));
}

/** `*.a.b` is a.b too, as pipelock has it. */
export function matchesHost(patterns: readonly string[], host: string): boolean {
  const name = host.toLowerCase();
  return patterns.some((each) => {
    const pattern = each.toLowerCase();
    if (!pattern.startsWith("*.")) return pattern === name;
    return name === pattern.slice(2) || name.endsWith(pattern.slice(1));
  });
}

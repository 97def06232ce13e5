/** Programs of ours in a guest of any image, on a Node that comes with them: an image needs no Node, no shell and no user of ours. */

/**
 * Where they are: a volume that the sidecars' image fills. Engines mount what lies deeper later, and follow an image's links
 * as they do: deeper than anything that an image may declare, so that nothing of its is mounted over it.
 */
export const RUNTIME = `/opt/bottle/runtime${"/own".repeat(9)}`;
const HEAP_MEGABYTES = 128;

/** Variables of an image's that would change how a Node of ours starts. */
const STRANGE = /^(?:LD_|GLIBC_|NODE_|OPENSSL_|MALLOC_)/;

/** One of our programs, on our Node. */
export function ownNode(program: string, ...args: readonly string[]): readonly [string, ...string[]] {
  // An image's own settings may name libraries to load.
  const node = [`${RUNTIME}/node`, `--max-old-space-size=${HEAP_MEGABYTES}`, "--openssl-config=/dev/null"];
  return [`${RUNTIME}/ld.so`, "--library-path", `${RUNTIME}/lib`, ...node, `${RUNTIME}/${program}`, ...args];
}

/** What an image would have its programs start with, taken back for those that are ours. */
export function withoutStrange(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.keys(env)
      .filter((name) => STRANGE.test(name))
      .map((name) => [name, ""]),
  );
}

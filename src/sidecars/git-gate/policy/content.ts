/** Rules on what certain files say. They hold wherever the file lies, and cannot be lifted from inside a repository. */

/** Longest pointer that Git LFS itself reads. Source: git-lfs, docs/spec.md. */
export const LFS_POINTER_BYTES = 1024;
const LFS_POINTER = /^version https?:\/\/(?:git-lfs\.github\.com|git-media\.io|hawser\.github\.com)\/spec\//;

/**
 * Whether a file stands for one that Git LFS would send elsewhere: where no gate looks at it, and from where
 * everybody who checks this out would take it.
 */
export function isLfsPointer(start: Uint8Array, size: number): boolean {
  return size <= LFS_POINTER_BYTES && LFS_POINTER.test(Buffer.from(start).toString("latin1").trimStart());
}

/** The kind of rules file that a path is, on any file system. `folded` is what foldPath makes of it. */
export function rulesFileKind(folded: string): "attributes" | "modules" | undefined {
  const name = folded.slice(folded.lastIndexOf("/") + 1);
  if (name === ".gitattributes") return "attributes";
  if (name === ".gitmodules") return "modules";
  return undefined;
}

/** Attributes that name a program of the reader's: a filter, a diff or merge driver. */
const DRIVERS = /^(?:filter|diff|merge)=(.+)$/;
/** What git itself does under these names runs nothing. Source: gitattributes(5), git 2.47. */
const BUILT_IN: ReadonlySet<string> = new Set([
  ...[
    "ada",
    "bash",
    "bibtex",
    "cpp",
    "csharp",
    "css",
    "dts",
    "elixir",
    "fortran",
    "fountain",
    "golang",
    "html",
    "java",
  ],
  ...[
    "kotlin",
    "markdown",
    "matlab",
    "objc",
    "pascal",
    "perl",
    "php",
    "python",
    "ruby",
    "rust",
    "scheme",
    "tex",
  ],
  ...["text", "binary", "union"],
]);

/** Lines of a .gitattributes that make a reader's git run a filter or driver which some configuration names. */
export function driverLines(text: string): readonly string[] {
  return text
    .split(/\r?\n|\r/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .filter((line) =>
      line.split(/[ \t]+/).some((word) => {
        const [, driver] = DRIVERS.exec(word) ?? [];
        return driver !== undefined && !BUILT_IN.has(driver);
      }),
    );
}

/**
 * The places that a .gitmodules names, and the commands (`update = !…`). Read as git's configuration is, but more
 * loosely: a line that only some reader would take for a URL counts as one.
 */
export function moduleUrls(text: string): readonly string[] {
  const joined = text.replace(/\\\r?\n/g, "");
  return joined
    .split(/\r?\n|\r/)
    .flatMap((line) => [
      ...line.matchAll(/(?:^|[\]\s])(url|update|branch|fetchrecursesubmodules|ignore)\s*=\s*(.*)$/gi),
    ])
    .filter(([, key = ""]) => /^(?:url|update)$/i.test(key))
    .map(([, key = "", value = ""]) => `${key.toLowerCase()} = ${value.trim()}`);
}

/** A package of the npm registry, down to its bytes. */
export interface PinnedPackage {
  /** For people: "Claude Code". */
  readonly product: string;
  readonly name: string;
  readonly version: string;
  /** Of the tarball, as the registry writes it: `sha512-<base64>`. */
  readonly integrity: string;
  readonly downloadBytes: number;
  readonly unpackedBytes: number;
  /** The files to keep, with their modes; each at the top of the package. */
  readonly files: Readonly<Record<string, number>>;
}

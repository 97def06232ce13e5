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
  /** Of the package, where its files are; its top when absent. */
  readonly folder?: string;
  /** The files to keep, by their names in there, with their modes. */
  readonly files: Readonly<Record<string, number>>;
}

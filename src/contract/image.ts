/** Where a guest's system comes from, and what an image says of itself: plain data. */

/** A name in a registry; `digest` says exactly which bytes, `tag` what it is called today. */
export interface RegistryReference {
  /** With its port, where it has one. */
  readonly host: string;
  readonly repository: string;
  readonly tag?: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest?: string;
}

export type ImageSource =
  | ({ readonly kind: "registry" } & RegistryReference)
  /** A folder in the OCI's layout; `ref` names one image of several. */
  | { readonly kind: "oci-layout"; readonly path: string; readonly ref?: string }
  /** What `docker save` or `podman save` writes, compressed or not. */
  | { readonly kind: "docker-archive"; readonly path: string; readonly ref?: string }
  /** What a docker-compatible engine of this host's calls so. */
  | { readonly kind: "engine"; readonly name: string }
  /** What a docker-compatible engine of this host's makes of the Dockerfile and the folder that it lies in. */
  | { readonly kind: "dockerfile"; readonly path: string }
  /** A folder that is the root itself. */
  | { readonly kind: "folder"; readonly path: string }
  /** The recipe that comes with bot-bottle. */
  | { readonly kind: "built-in" }
  /** Made by `bottle commit`. */
  | { readonly kind: "kept"; readonly name: string };

/** What an image wants for its programs. */
export interface ImageConfig {
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** As `Dockerfile` has it: a name or number, and perhaps `:group`. Empty: root. */
  readonly user: string;
  readonly cwd: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** As the OCI calls it: amd64, arm64. */
  readonly architecture: string;
}

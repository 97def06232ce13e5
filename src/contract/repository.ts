/** A repository behind git-gate as the plan knows it: plain data, no secret in it, printed by the preflight. */
import type { LastingExceptionCode } from "./approvals.ts";
import type { GitLimits } from "./git-gate.ts";

export interface PlannedRepo {
  /** What it is called in the gate's URL: `http://<gate>/<name>.git`. */
  readonly name: string;
  readonly upstream: PlannedUpstream;
  /**
   * What may be pushed, and nothing else; {@link BOTTLE_ID} in a pattern stands for the bottle's id.
   * Absent: what the bottle has to itself.
   */
  readonly refs?: readonly PlannedRef[];
  readonly paths: {
    /** Globs; when there are any, nothing else may change. */
    readonly only: readonly string[];
    /** Globs of paths that may change although they are protected by default. */
    readonly unprotect: readonly string[];
  };
  /** Those that the manifest sets. */
  readonly limits: Partial<GitLimits>;
  /** Every push waits for the operator. */
  readonly review: boolean;
  /** What passes although its code refuses it, each subject to the letter; absent: nothing. */
  readonly exceptions?: readonly PlannedException[];
}

export interface PlannedException {
  readonly code: LastingExceptionCode;
  /** Paths, or refs; {@link BOTTLE_ID} in a ref stands for the bottle's id. */
  readonly subjects: readonly string[];
}

/** In a manifest's `refs`. */
export const BOTTLE_ID = "{id}";

export interface PlannedRef {
  readonly pattern: string;
  readonly force: boolean;
  readonly delete: boolean;
}

export type PlannedUpstream =
  | {
      readonly kind: "ssh";
      readonly user: string;
      readonly host: string;
      readonly port: number;
      /** `/srv/x.git` of an ssh:// URL, `team/x.git` of the scp-like form. */
      readonly path: string;
      readonly key: PlannedSshKey;
      /** "ssh-ed25519 AAAA…", at least one. */
      readonly hostKeys: readonly string[];
    }
  | {
      readonly kind: "https";
      readonly host: string;
      readonly port: number;
      /** With its leading slash. */
      readonly path: string;
      readonly token?: { readonly username: string; readonly tokenRef: string };
      /** Host paths of PEM files; when there are any, the certificate must come from one of them. */
      readonly authorities: readonly string[];
    }
  /** A bare repository on this host. */
  | { readonly kind: "local"; readonly path: string };

export type PlannedSshKey =
  /** A private key on the operator's host. */
  | { readonly kind: "file"; readonly path: string }
  /** The operator's ssh-agent; `publicKey` ("ssh-ed25519 AAAA…") chooses among its keys. */
  | { readonly kind: "agent"; readonly publicKey?: string }
  | PlannedDeployKey;

/** A key that is made at launch, given to the forge by its API, and taken from it again at teardown. */
export interface PlannedDeployKey {
  readonly kind: "deploy";
  readonly forge: "gitea";
  /** Where its API is, without a slash at the end: `https://git.example.com`. */
  readonly server: string;
  /** `owner/name`. */
  readonly repository: string;
  /** Name in the operator's environment of a token that may manage the repository's keys. */
  readonly tokenRef: string;
  /** Host paths of PEM files. */
  readonly authorities: readonly string[];
}

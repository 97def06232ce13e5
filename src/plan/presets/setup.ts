/**
 * What presets know of the operator's own setup: texts of configuration files and variables, as data. Where a
 * registry is differs from one operator to the next, so it is read at plan time and never written down here.
 * Files of the folder that becomes the workspace are not among them: a repository may not say where to go (I5).
 */
import type { PlannedFile } from "../../contract/plan.ts";
import type { Route } from "../../contract/policy.ts";

export const SETUP_KINDS = ["npmrc", "pip", "cargo", "goenv", "apt-list", "apt-sources"] as const;
export type SetupKind = (typeof SETUP_KINDS)[number];

export interface SetupFile {
  readonly kind: SetupKind;
  readonly path: string;
  readonly text: string;
}

export interface OperatorSetup {
  readonly env: (name: string) => string | undefined;
  /** Of one kind, in the order in which they count: a later one overrides. */
  readonly files: readonly SetupFile[];
}

/** What a preset comes to for this operator. */
export interface Expansion {
  /** Where its hosts were read: a file, a variable, or `its default`. */
  readonly from: string;
  readonly routes: readonly Route[];
  /** What programs in the guest need to know to go to the same place. */
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly PlannedFile[];
  readonly warnings: readonly string[];
}

export const DEFAULT_SOURCE = "its default";

export function filesOf(setup: OperatorSetup, kind: SetupKind): readonly SetupFile[] {
  return setup.files.filter((file) => file.kind === kind);
}

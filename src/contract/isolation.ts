/** The backends by name, where their sidecars can be, and how strong each kind of isolation is. */

export const BACKEND_NAMES = ["namespace", "qemu", "smolmachines", "docker"] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

/** Where a bottle's sidecars run: as processes of the host, or in one container of an engine's. */
export const BUNDLE_PLACEMENTS = ["process", "container"] as const;
export type BundlePlacement = (typeof BUNDLE_PLACEMENTS)[number];

/** From weakest to strongest; a bottle's `isolation` is a minimum. */
export const ISOLATION_LEVELS = ["namespace", "container", "gvisor", "vm"] as const;
export type IsolationLevel = (typeof ISOLATION_LEVELS)[number];

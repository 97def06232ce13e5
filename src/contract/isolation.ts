/** The backends by name, and how strong each kind of isolation is. */

export const BACKEND_NAMES = ["namespace", "qemu", "smolmachines", "docker"] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

/** From weakest to strongest; a bottle's `isolation` is a minimum. */
export const ISOLATION_LEVELS = ["namespace", "container", "gvisor", "vm"] as const;
export type IsolationLevel = (typeof ISOLATION_LEVELS)[number];

/** Mounts for one program alone: nobody else sees them, and they go with it. */
import { isRoot } from "./real-bottle.ts";

/** In front of a command: runs `script`, at whose end `exec "$@"` is that command, in a mount namespace of its own. */
export const withMounts = (script: string): readonly string[] => [
  "unshare",
  ...(isRoot ? [] : ["--user", "--map-root-user"]),
  ...["--mount", "--", "sh", "-ec", `${script}\nexec "$@"`, "sh"],
];

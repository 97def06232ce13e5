/** The crowd as a process of its own, so that it takes no time from those whom it must not stop. */
import { type Doors, gather } from "./crowd.ts";

/** How often it says how many have come. */
const TELLING_MS = 100;

process.once("message", ({ doors, size }: { readonly doors: Doors; readonly size: number }) => {
  const crowd = gather(doors, size);
  setInterval(() => process.send?.({ opened: crowd.opened() }), TELLING_MS);
});
process.once("disconnect", () => process.exit(0));

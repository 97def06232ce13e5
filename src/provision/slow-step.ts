import type { Progress } from "../contract/backend.ts";

/** Shorter steps are not worth a line. */
const SLOW_MS = 1_000;

/** Tells what is being done once it has taken a second. */
export async function slowStep<T>(progress: Progress, text: string, step: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => progress(text), SLOW_MS);
  try {
    return await step();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A stack of things to undo. Whatever a launch acquires is pushed here at once; closing undoes in
 * exact reverse order, runs every step even when one fails, and may be asked for any number of times.
 */
export interface Scope {
  /**
   * Registers `release` under `name` (used in error texts). On a closed scope it runs next.
   * @param release is told whether something that was to be undone before it could not be.
   */
  defer(name: string, release: Release): void;
  /** Runs every release, last first. Further calls wait for the same, and for what was registered since. */
  close(): Promise<void>;
}

type Release = (hasFailed: boolean) => Promise<void> | void;

interface Entry {
  readonly name: string;
  readonly release: Release;
}

/** Thrown by {@link Scope.close} after *all* steps ran, when some of them failed. */
export class ScopeError extends AggregateError {
  override readonly name = "ScopeError";
}

export function createScope(): Scope {
  const entries: Entry[] = [];
  const failures: Error[] = [];
  let closing: Promise<void> | undefined;

  async function unwind(): Promise<void> {
    for (let entry = entries.pop(); entry !== undefined; entry = entries.pop()) {
      try {
        await entry.release(failures.length > 0);
      } catch (cause) {
        failures.push(new Error(`undoing ${entry.name}: ${String(cause)}`, { cause }));
      }
    }
    if (failures.length > 0) {
      throw new ScopeError([...failures], failures.map((failure) => failure.message).join("; "));
    }
  }

  return {
    defer(name, release) {
      entries.push({ name, release });
      if (closing === undefined) return;
      // A step that finished after the teardown began must not outlive it. Whoever closes next hears of it.
      closing = closing.then(unwind, unwind);
      closing.catch(() => {});
    },
    close() {
      closing ??= unwind();
      return closing;
    },
  };
}

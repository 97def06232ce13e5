/** I7: a bottle's `isolation` is a minimum. */
import { ISOLATION_LEVELS, type IsolationLevel } from "../contract/isolation.ts";

/** True when there is no minimum, or `actual` is at least as strong. */
export function meetsIsolation(minimum: IsolationLevel | undefined, actual: IsolationLevel): boolean {
  return minimum === undefined || ISOLATION_LEVELS.indexOf(actual) >= ISOLATION_LEVELS.indexOf(minimum);
}

/**
 * What the operator lets a bottle do in a minute: requests, and body bytes each way. Each is a bucket that fills
 * evenly, so a burst up to a whole minute's worth passes and an average above it does not. What a minute does
 * not hold of *uploads* does not leave: the request is refused where it stands. Of downloads it is paid back
 * later: an answer is never cut short, but no further request begins until the debt is gone.
 */
import { type Refusal, refuse } from "./denial.ts";

const MINUTE_MS = 60_000;

/** Undefined: not limited. */
export interface PerMinute {
  readonly requests: number | undefined;
  readonly uploadBytes: number | undefined;
  readonly downloadBytes: number | undefined;
}

export interface Budget {
  /** Counts a request that begins, unless it may not yet. @param length of its body, when it says so. */
  admit(length: number | undefined): Refusal | undefined;
  /** Counts body bytes; a refusal when these may not go up any more. */
  moved(up: number, down: number): Refusal | undefined;
}

export const UNLIMITED: Budget = { admit: () => undefined, moved: () => undefined };

/** @param now in milliseconds, never going back. */
export function createBudget(limits: PerMinute, now: () => number = () => performance.now()): Budget {
  const requests = bucket(limits.requests, now);
  const up = bucket(limits.uploadBytes, now);
  const down = bucket(limits.downloadBytes, now);
  const uploadRefusal = (): Refusal =>
    refuse(
      "upload-rate",
      "this bottle has sent as much as it may in a minute",
      `egress.limits: upload_per_minute ${limits.uploadBytes}`,
      { retryAfter: up.secondsUntil(1) },
    );
  return {
    admit(length) {
      if (length !== undefined && limits.uploadBytes !== undefined && length > limits.uploadBytes) {
        return refuse(
          "upload-too-large",
          "the body alone is more than this bottle may send in a minute",
          `egress.limits: upload_per_minute ${limits.uploadBytes}`,
        );
      }
      if (up.secondsUntil(1) > 0) return uploadRefusal();
      if (down.secondsUntil(1) > 0) {
        return refuse(
          "download-rate",
          "this bottle has received as much as it may in a minute",
          `egress.limits: download_per_minute ${limits.downloadBytes}`,
          { retryAfter: down.secondsUntil(1) },
        );
      }
      const wait = requests.secondsUntil(1);
      if (wait === 0) {
        requests.take(1);
        return undefined;
      }
      return refuse(
        "request-rate",
        "this bottle has made as many requests as it may in a minute",
        `egress.limits: requests_per_minute ${limits.requests}`,
        { retryAfter: wait },
      );
    },
    moved(sent, received) {
      down.take(received);
      if (sent === 0) return undefined;
      up.take(sent);
      return up.isOverdrawn() ? uploadRefusal() : undefined;
    },
  };
}

interface Bucket {
  take(amount: number): void;
  isOverdrawn(): boolean;
  /** Whole seconds until there is `amount` in it; 0 for now. */
  secondsUntil(amount: number): number;
}

function bucket(perMinute: number | undefined, now: () => number): Bucket {
  if (perMinute === undefined) return { take() {}, isOverdrawn: () => false, secondsUntil: () => 0 };
  let level = perMinute;
  let since = now();
  const fill = (): void => {
    const at = now();
    level = Math.min(perMinute, level + (perMinute * (at - since)) / MINUTE_MS);
    since = at;
  };
  return {
    take(amount) {
      fill();
      level -= amount;
    },
    isOverdrawn: () => level < 0,
    secondsUntil(amount) {
      fill();
      return level >= amount ? 0 : Math.ceil(((amount - level) * MINUTE_MS) / perMinute / 1_000);
    },
  };
}

/** Every bound of supervise in one place, each with its reason. The guest is hostile, and asking is cheap for it. */
export const LIMITS = {
  /** Bytes of a request's line and headers; an honest client's stay below 2 KiB. */
  headBytes: 16 * 1024,
  /** Bytes of a request's body. The largest call that is accepted has less than 40 KiB. */
  bodyBytes: 128 * 1024,
  /** Connections from the guest: a dozen agents' worth. */
  connections: 128,
  /** Requests in progress, those included that wait for the operator. */
  exchanges: 64,
  /** Calls that wait for the operator at once; one more is answered at once with what is known. */
  waiting: 32,
  /** Notification streams at once. Nothing is ever told on one, but clients of the 2026 protocol may open it. */
  subscriptions: 8,

  /** Requests at once after a pause, and a second for ever: handling one takes about a millisecond. */
  burst: 300,
  perSecond: 50,

  /** From the first byte of a request to its last. */
  requestMs: 20_000,
  /** What a call waits for the operator. Clients give up on a call after a minute, some after half of one. */
  waitMs: 25_000,
  /** The keeper's time to record what is asked; it waits for a disk at most. */
  keeperMs: 10_000,
  /** Live requests' time to finish after SIGTERM: those that wait are answered at once. */
  drainMs: 2_000,
  /** How often the keeper is told of refused requests, by kind and number: the guest could make any number. */
  reportMs: 10_000,
} as const;

/** Calls of one tool: at once after a pause, and a minute for ever. People read what is asked for. */
export const CALLS = {
  list_capabilities: { burst: 30, perMinute: 60 },
  explain_denial: { burst: 30, perMinute: 60 },
  request_access: { burst: 20, perMinute: 10 },
  request_exception: { burst: 20, perMinute: 10 },
  /** Each waits for up to {@link LIMITS.waitMs} while there is something to wait for. */
  check_request: { burst: 60, perMinute: 60 },
  withdraw_request: { burst: 20, perMinute: 10 },
} as const;

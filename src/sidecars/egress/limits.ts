/**
 * Every bound of egress in one place, each with its reason. The guest is hostile and so are upstreams:
 * whatever they can make larger, longer or more numerous ends at one of these.
 */
export const LIMITS = {
  /** Bytes of a request's line and headers. Twice node's default: agents carry long tokens and cookies. */
  requestHeadBytes: 32 * 1024,
  /** Header lines of one request. Real ones have some twenty; each costs a comparison per rule. */
  requestHeaders: 256,
  /** Bytes of an upstream's status line and headers. Content-security policies alone reach several KiB. */
  responseHeadBytes: 64 * 1024,
  /** Header lines of one answer. Its bytes alone would leave room for thousands of empty ones. */
  responseHeaders: 512,
  /** Characters of a path that rules are asked about: what an operator's pattern costs is linear in it. */
  judgedPathLength: 4096,
  /** Bytes of a ClientHello. With post-quantum keys they are below 3 KiB; the rest is somebody stuffing. */
  clientHelloBytes: 32 * 1024,

  /** Connections from the guest. Each holds a TLS state of some 60 KiB: the worst case stays below 100 MiB. */
  connections: 1024,
  /** Bytes of a body in a millisecond: who sends less gives way to others when there are too many. A modem's pace. */
  slowestUpload: 8,
  /** Requests in progress, over all connections. Each may hold an upstream socket: a quarter of usual fd limits. */
  exchanges: 256,
  /** Requests in progress on one HTTP/2 connection: what browsers and curl assume. */
  streamsPerConnection: 100,
  /** Idle upstream sockets, in all. More would only fill upstreams' tables. */
  pooledSockets: 128,
  /** Minted certificates kept. A coding agent meets some dozens of hosts; a wildcard route could name any. */
  leaves: 256,

  /** Bytes of a request's body that are held until all of it was looked into: conversations with a model fit. */
  heldBytes: 512 * 1024,
  /** Held by all of them together; those above it are looked into as they pass. */
  allHeldBytes: 24 * 1024 * 1024,
  /** Bytes of a body unpacked: a bomb of 1000 to 1 would be the upstream's trouble, and ours. */
  inflatedBytes: 1024 * 1024 * 1024,
  /** Bytes of an answer's body that is held so that its head can say what was found in it. */
  heldAnswerBytes: 64 * 1024,
  /** Bytes of one WebSocket message, which is held whole. The largest that common servers take. */
  messageBytes: 16 * 1024 * 1024,
  /** Held by all WebSockets together, of messages that are not whole or that nobody takes: four of the largest. */
  allMessageBytes: 64 * 1024 * 1024,
  /** What each may hold whatever others do: a socket's usual buffers. All at once, as much as {@link allMessageBytes}. */
  ownMessageBytes: 256 * 1024,

  /** From the first byte of a request's head to its last: a slow writer does not hold a connection. */
  headMs: 20_000,
  /** A connection without any request. Long, because a client that reuses one just as it closes sees an error. */
  idleMs: 5 * 60_000,
  /** A quiet HTTP/2 connection is pinged after this, and closed when as long again brings no answer. */
  pingMs: 10_000,
  /** From the answer to CONNECT to the end of the TLS handshake; the guest is near. */
  handshakeMs: 10_000,
  /** For the system's resolver, which by itself may take over half a minute. */
  resolveMs: 8_000,
  /** The same where an upstream proxy resolves names: many a name is unknown on this side of it. */
  proxiedResolveMs: 1_500,
  /** For connecting to all addresses of a host, one after the other. */
  connectMs: 10_000,
  /** For the TLS handshake with an upstream. */
  upstreamHandshakeMs: 10_000,
  /** An exchange without a byte in either direction: models think for minutes before they answer. */
  exchangeIdleMs: 10 * 60_000,
  /** A tunnel (WebSocket, passthrough) without a byte. They are quiet for long, but not for ever. */
  tunnelIdleMs: 30 * 60_000,
  /** How long an unused upstream socket is kept: below the 60 s after which most servers close theirs. */
  pooledMs: 15_000,
  /** What a client gets to read a refusal, or any answer after which the connection closes. */
  lingerMs: 2_000,
  /** Live exchanges' time to finish after SIGTERM. */
  drainMs: 10_000,
  /** How often the clock looks; what it ends is late by at most this. */
  tickMs: 1_000,

  /** Request bytes read and thrown away so that a refused client sees the answer and not a reset. */
  discardedBytes: 1024 * 1024,
  /** Bytes of HTTP/2 while nothing is asked: some 3,000 pings; a client sends one in many seconds. */
  controlBytes: 48 * 1024,
  /** Requests that one HTTP/2 connection may take back at once (all it may have), and then in each second. */
  resetBurst: 100,
  resetsPerSecond: 10,
  /** Of those that are taken back before anybody looked at them: only floods do that. Each costs more than most requests. */
  takenBack: 10,
  /** Addresses of one host that are tried; all of them are checked. */
  addressesTried: 6,
  /** Events told one by one in a second; those above are told together, counted, at its end. */
  eventsPerSecond: 100,
  /** Questions that the operator is asked in a minute, each once: more than a person reads. */
  questionsPerMinute: 10,
  /** Headers whose sizes are told with a request at log level 2. Real requests have some twenty. */
  toldHeaders: 64,
  /** Characters of such a header's name. */
  toldHeaderName: 64,
  /** Different kinds of such counted events; a guest can invent hosts without end. */
  countedEvents: 64,
} as const;

export type Limits = { readonly [K in keyof typeof LIMITS]: number };

/**
 * Every bound of git-gate in one place, each with its reason; those on what a push may hold are the policy's.
 * The guest is hostile and so are upstreams: whatever they can make larger, longer or more numerous ends here.
 */
const MINUTE = 60_000;

export const LIMITS = {
  /** Bytes of a request's line and headers. Git's own stay below 1 KiB. */
  headBytes: 16 * 1024,
  /** Connections from the guest: a dozen agents' worth, and nothing to the process. */
  connections: 256,
  /** Requests in progress. Each is at least two processes of git. */
  exchanges: 64,
  /** Of those, how many may make git work hard: each may take some hundreds of MB. The others wait for their turn. */
  working: 8,
  /** Bytes of a fetch's request. http-backend holds it in memory; an honest one names some thousand commits. */
  fetchRequestBytes: 16 * 1024 * 1024,
  /** Bytes of a push before its pack: the commands. receive-pack holds them in memory. */
  commandBytes: 256 * 1024,
  /** Refs in one push. Each is a line in a log, and people read those. */
  updates: 100,
  /** Bytes of a push besides its pack: commands, a shallow list, framing. */
  framingBytes: 1024 * 1024,
  /** Bytes of pushes on the host's disk that nobody has decided: a reviewed one may wait for hours. */
  heldBytes: 4 * 1024 ** 3,
  /** Bytes of what http-backend says before its body. */
  cgiHeadBytes: 16 * 1024,

  /** From the first byte of a request's head to its last. */
  headMs: 20_000,
  /** A request or an answer without a byte moved: a client that stopped reading holds processes. */
  idleMs: 2 * MINUTE,
  /** All of one request but the wait for the operator: 2 GiB at 10 Mbit/s take less. */
  exchangeMs: 60 * MINUTE,
  /** From a push's last byte to git's word that it has all objects. Half a gigabyte takes a minute; bombs take for ever. */
  receiveMs: 15 * MINUTE,
  /** One fetch from upstream. A first one of a large repository takes minutes. */
  refreshMs: 30 * MINUTE,
  /** For so long a fetch on the log stands for the requests that follow it, without another look at upstream. */
  fetchedMs: 2 * MINUTE,
  /** Asking upstream what refs it has. */
  listMs: MINUTE,
  /** One push to upstream, its hooks included. */
  forwardMs: 10 * MINUTE,
  /** Looking at what a push brings. Nothing that needs longer is looked at halfway. */
  inspectMs: 20 * MINUTE,
  /** The operator's time to answer. */
  reviewMs: 12 * 60 * MINUTE,
  /** What a program gets to end by itself before it is killed. */
  killMs: 2_000,
  /** Live requests' time to finish after SIGTERM. */
  drainMs: 10_000,

  /** Bytes of objects, unpacked, that one push may bring to be looked at: a pack may unpack to a thousand times its size. */
  inspectedBytes: 32 * 1024 ** 3,
  /** Bytes of one commit, tag or tree: git and we hold it in memory. The largest tree known has 5 MB. */
  objectBytes: 32 * 1024 * 1024,
  /** Bytes of a path. No system opens a longer one, and what an operator's pattern costs grows with it. */
  pathBytes: 4096,
  /** Bytes of a .gitattributes or .gitmodules. Git itself ignores larger attributes. */
  rulesFileBytes: 1024 * 1024,
  /** Such files changed in one push, and paths that one merge takes back of what is judged: each path is held, and may be long. */
  rulesFiles: 10_000,
  /** Pointers to large files in one push whose paths are held, to ask of each whether it is excepted. */
  pointers: 1_000,
  /** Archives within archives that are opened. */
  archiveDepth: 4,
  /** Bytes that archives of one push may unpack to, all levels together. */
  unpackedBytes: 4 * 1024 ** 3,
  /** Archive members of one file. What begins more is no archive of files, but one of beginnings. */
  members: 100_000,
  /** Archive members of one file being unpacked at once: those of an honest one follow each other. */
  openMembers: 16,

  /** Findings told to the agent; there may be more, and it will push again. */
  toldFindings: 20,
  /** Commits and files told to the operator who reviews. */
  toldReview: 200,
  /** Names of unopened archives in the log. */
  toldUnopened: 20,
  /** Lines of upstream's own words passed on, and characters of each. */
  wordsLines: 40,
  wordsLength: 500,
  /** Refused requests, and refs and findings of refused pushes, told one by one in a second; others are counted. */
  eventsPerSecond: 20,

  /** Bytes of upstream's list of refs, or of one answer of git that is read whole. */
  answerBytes: 64 * 1024 * 1024,
  /** Packs in a mirror before they are put together: each push and each fetch brings one, and every look-up asks all. */
  packs: 50,
} as const;

export type Limits = { readonly [K in keyof typeof LIMITS]: number };

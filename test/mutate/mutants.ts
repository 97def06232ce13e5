/**
 * What is broken on purpose, one at a time, to see whether a test notices: each detector, decoder, surface and rule on
 * targets, and what git-gate does. A mutant is a replacement in the source; one whose text is not there any more is an error, not a pass.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { READS_ZSTD } from "../../src/lib/zstd.ts";
import { gitGateMutants, protectedPathsBatch } from "./git-gate.ts";
import { type Batch, type Guarded, guards, type Mutant, type Table, tables } from "./guards.ts";

const EGRESS = "src/sidecars/egress";
const INSPECTION = `${EGRESS}/inspection`;
const T = "test/integration/egress";

/** The ids of all detectors that say `key`, from the source: loading them here would load what is not mutated. */
function detectorIds(root: string, key: string): readonly string[] {
  const index = readFileSync(join(root, "src/inspect/detectors/index.ts"), "utf8");
  return [...index.matchAll(/from "\.\/([\w-]+)\.ts"/g)].flatMap(([, file]) => {
    const text = readFileSync(join(root, `src/inspect/detectors/${file}.ts`), "utf8");
    return text
      .split(/\n {4}id: "/)
      .slice(1)
      .filter((entry) => entry.includes(`\n    ${key}`))
      .map((entry) => entry.slice(0, entry.indexOf('"')));
  });
}

export function batchesOf(root: string): readonly Batch[] {
  const batch = (what: string, key: string, change: string, test: string): Batch => ({
    name: `detectors: ${what}`,
    file: "src/inspect/detectors/index.ts",
    find: "].map(withoutExamples);",
    replace: `].map((detector) => ({ ...detector, ${change} })).map(withoutExamples);`,
    tests: ["test/unit/inspect/detectors/examples.test.ts"],
    killers: new Map(detectorIds(root, key).map((id) => [`detector ${id}: ${what}`, `'${id}' ${test}`])),
  });
  const finds = "finds what its provider documents";
  const leaves = "leaves near misses";
  return [
    batch("finds nothing", "", "check: () => false", finds),
    batch("checks nothing", "check:", "check: () => true", leaves),
    batch("has no minimum of entropy", "minEntropy:", "minEntropy: 0", leaves),
    protectedPathsBatch(root),
  ];
}

/** `tests` of a decoder: every encoding, and every chain of two. */
const ENCODINGS = ["test/unit/inspect/encodings.test.ts", "test/unit/inspect/inspector.test.ts"];

const decoder = (name: string, file: string, find: string, replace: string): Mutant => ({
  name: `decoder: ${name}`,
  file: `src/inspect/${file}`,
  ...{ find, replace, tests: ENCODINGS },
});

const DECODERS: readonly Mutant[] = [
  decoder("base64", "unpacker.ts", "(classes & (BASE64_ASCII | BASE64)) !== 0)", "0 === 1)"),
  decoder(
    "base64 of one phase",
    "unpacker.ts",
    "for (let phase = 0; phase < 4; phase++)",
    "for (let phase = 0; phase < 1; phase++)",
  ),
  decoder("hex", "unpacker.ts", "if ((classes & (HEX_ASCII | HEX)) !== 0)", "if (0 === 1)"),
  decoder("hex at even places", "unpacker.ts", "    if (even) {", "    if (0 === 1) {"),
  decoder("hex at odd places", "unpacker.ts", "    if (odd && !", "    if (0 === 1 && !"),
  decoder("base32", "unpacker.ts", "if ((classes & BASE32_UPPER) !== 0)", "if (0 === 1)"),
  decoder("base32 in lower case", "unpacker.ts", "if ((classes & BASE32_LOWER) !== 0)", "if (0 === 1)"),
  decoder("spaced digits", "unpacker.ts", "if ((classes & SPACED) !== 0)", "if (0 === 1)"),
  decoder("separated hex", "unpacker.ts", "if ((classes & HEX_SEPARATED) !== 0)", "if (0 === 1)"),
  decoder("chains", "scanner.ts", "export const UNPACKINGS = 4;", "export const UNPACKINGS = 1;"),
  decoder("chains of four", "scanner.ts", "export const UNPACKINGS = 4;", "export const UNPACKINGS = 3;"),
  decoder("escapes", "scanner.ts", "i < regions.count; i++", "i < 0; i++"),
  decoder(
    "percent",
    "text-cleaner.ts",
    "next === PERCENT || next === BACKSLASH || next === AMPERSAND",
    "next === BACKSLASH || next === AMPERSAND",
  ),
  decoder(
    "backslash",
    "text-cleaner.ts",
    "next === PERCENT || next === BACKSLASH || next === AMPERSAND",
    "next === PERCENT || next === AMPERSAND",
  ),
  decoder(
    "entities",
    "text-cleaner.ts",
    "next === PERCENT || next === BACKSLASH || next === AMPERSAND",
    "next === PERCENT || next === BACKSLASH",
  ),
  decoder(
    "\\u{…}",
    "text-cleaner.ts",
    "if (kind === 0x75 && this.#out[this.#armed + 2] === 0x7b)",
    "if (0 === 1)",
  ),
  decoder("\\u", "text-cleaner.ts", "else if (kind === 0x75 || kind === 0x55)", "else if (0 === 1)"),
  decoder("\\x", "text-cleaner.ts", "else if (kind === 0x78)", "else if (0 === 1)"),
  decoder("octal", "text-cleaner.ts", "else if (kind >= 0x30 && kind < 0x34) {", "else if (0 === 1) {"),
  decoder(
    "letters in disguise",
    "text-cleaner.ts",
    "next = next < 0xc0 ? this.#foldTail() : -1",
    "next = -1",
  ),
  decoder(
    "known values in base64, hex, base32",
    "known-secret.ts",
    "value.length < NOTICED_ENCODED || !isAsciiText(value)",
    "0 === 1",
  ),
  decoder(
    "known values in pieces",
    "known-secret.ts",
    "hasTellingPiece(value) ? PIECE : value.length, commonBeginning",
    "value.length, commonBeginning",
  ),
  decoder(
    "known values escaped",
    "known-secret.ts",
    "for (const text of escapedForms(value))",
    "for (const text of escapedForms(value).slice(9))",
  ),
  decoder(
    "own rules",
    "scanner.ts",
    "if (rules !== undefined) this.#tryRules",
    "if (0 === 1) this.#tryRules",
  ),
];

const NEIGHBOURHOODS = "test/unit/inspect/neighbourhoods.test.ts";
const SIMD = "test/unit/inspect/simd.test.ts";
const ECHO = ["test/unit/inspect/echo-scrubber.test.ts", "test/unit/inspect/skip-search.test.ts"];

/** What is looked at in wide registers, or passed over, must not differ from what is looked at byte by byte. */
const SHORTCUTS: readonly Mutant[] = [
  {
    ...decoder(
      "runs of six words, wide",
      "simd/run-program.ts",
      "and(c.tee(run4(x)), later(c.get, 2))",
      "run4(x)",
    ),
    tests: [SIMD],
  },
  {
    ...decoder(
      "the last words of a turn",
      "simd/run-program.ts",
      "const LAST_WORD = 0x8000;",
      "const LAST_WORD = 0;",
    ),
    tests: [SIMD],
  },
  {
    ...decoder(
      "double spaces in numbers",
      "simd/turn.ts",
      "v128.or(isOut(k, bits), vector(spaces, k).get)",
      "isOut(k, bits)",
    ),
    tests: [SIMD],
  },
  {
    ...decoder(
      "letters in disguise, wide",
      "simd/disguise-marks.ts",
      "v128.anyTrue(four((k) => lead(k)))",
      "i32.const(0)",
    ),
    tests: [SIMD],
  },
  {
    ...decoder("escapes, wide", "simd/disguise-marks.ts", "...VECTORS.map(noteAscii),", ""),
    tests: [SIMD],
  },
  {
    ...decoder(
      "hits without a neighbour",
      "simd/gram-program.ts",
      "bitOf(AFTER, i32.load(0, at.get), FOUR_MULTIPLIER),",
      "i32.const(0),",
    ),
    tests: [SIMD],
  },
  {
    ...decoder(
      "beginnings of escapes, wide",
      "simd/copy-program.ts",
      'const BEGINNINGS = ["%", "&", "\\\\"];',
      'const BEGINNINGS = ["%", "&"];',
    ),
    tests: [SIMD],
  },
  {
    ...decoder("digits that are no letters, wide", "simd/base64-program.ts", "_: 33 };", "_: 32 };"),
    tests: [SIMD],
  },
  {
    ...decoder(
      "escapes between digits, over the end of a turn, wide",
      "simd/squeeze-program.ts",
      "...before.set(i32.shrU(escaped.get, i32.const(TURN))),",
      "",
    ),
    tests: [SIMD],
  },
  {
    ...decoder(
      "`0x` before pairs of hex, wide",
      "simd/squeeze-program.ts",
      "hex ? dropPrefixes : dropEscapes,",
      "hex ? [] : dropEscapes,",
    ),
    tests: [SIMD],
  },
  {
    ...decoder(
      "digits around a disguise",
      "disguise-regions.ts",
      "const ENCODED = 3072;",
      "const ENCODED = 0;",
    ),
    tests: [NEIGHBOURHOODS],
  },
  {
    ...decoder(
      "bytes that end a text, by words",
      "plausible-text.ts",
      "word | (word + 0x01010101) |",
      "word |",
    ),
    tests: ["test/unit/inspect/plausible-text.test.ts"],
  },
  {
    ...decoder(
      "phrases behind a break",
      "word-list.ts",
      "if (end >= 0) return end;",
      "if (end >= 0) return at;",
    ),
    tests: ["test/unit/inspect/seed-phrases.test.ts"],
  },
  decoder(
    "hex between escapes of white space",
    "unpacker.ts",
    "!hex && stretchEnd(bytes, start, end, SPACED_LIKE_HEX) === end",
    "!hex",
  ),
  decoder("hex of text among separated hex", "unpack.ts", "if (next === PAIRS_OF_TEXT) return true;", ""),
  decoder("letters in disguise in base64", "unpacker.ts", "| (run6 & BASE64_UTF8)", ""),
  {
    ...decoder("echoes", "skip-search.ts", "if (step === 0 && stands(", "if (0 === 1 && stands("),
    tests: ECHO,
  },
  {
    ...decoder(
      "beginnings of echoes",
      "echo-scrubber.ts",
      "text.length - search.longest), 0)",
      "text.length), 0)",
    ),
    tests: ECHO,
  },
];

/** What keeps a value whole that is longer than what is cleaned around an escape. */
const REACHES: readonly Mutant[] = [
  {
    ...decoder(
      "reach back to a keyword",
      "disguise-regions.ts",
      "WHOLE_WORDS, keywords.at(this.#keyword) ?? at",
      "WHOLE_WORDS, at",
    ),
    tests: [NEIGHBOURHOODS],
  },
  {
    ...decoder(
      "reach on from a keyword",
      "scanner.ts",
      "const wide = regions.widened(i, raw);",
      "const wide = { start, end };",
    ),
    tests: [NEIGHBOURHOODS],
  },
  {
    ...decoder(
      "reach on from words of a list",
      "scanner.ts",
      "list.search(frame, this.#ledger) || goesOn",
      "list.search(frame, this.#ledger) && goesOn",
    ),
    tests: ["test/unit/inspect/seed-phrases.test.ts"],
  },
];

const SURFACES = `${T}/inspection/surfaces.test.ts`;
const BODIES = `${T}/inspection/bodies.test.ts`;
const ANSWERS = `${T}/inspection/answers.test.ts`;
const MESSAGES = `${T}/inspection/websocket-messages.test.ts`;
const HELD_MESSAGES = "test/unit/egress/held-messages.test.ts";
const PLACEHOLDERS = `${T}/targets/placeholder.test.ts`;
const ISSUED = `${T}/inspection/issued-tokens.test.ts`;
const ASKING = `${T}/inspection/asking.test.ts`;
const CORRELATION = `${T}/inspection/correlation.test.ts`;

const surface = (
  name: string,
  test: string,
  file: string,
  find: string,
  replace: string,
  pattern?: string,
): Mutant => ({
  name: `surface: ${name}`,
  file: `${INSPECTION}/${file}`,
  ...{ find, replace, tests: [test], ...(pattern === undefined ? {} : { pattern }) },
});
/** A line of surfaces.ts, left out. */
const place = (line: string, pattern: string): Mutant =>
  surface(line, SURFACES, "surfaces.ts", `  ${line}`, "", pattern);

/** Vitest quotes what it puts into a name. */
const KINDS = "that is a .pattern.";
const SURFACE_MUTANTS: readonly Mutant[] = [
  place('if (isOpenName) add("the host", target.host);', "name of a host"),
  place('add("the path", path, "url");', `${KINDS}.*the path`),
  place('if (queryAt >= 0) add("the query", target.path.slice(queryAt + 1), "url");', `${KINDS}.*query`),
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a line of the source
  place('  add(`header ${name}`, `${said}: ${value}`, "header");', `${KINDS}.*header`),
  surface(
    "cookies, joined",
    SURFACES,
    "surfaces.ts",
    'if (name === "cookie")',
    "if (0 === 1)",
    `${KINDS}.*cookies`,
  ),
  place('if (isOpenName) join("the labels of the host", target.host.split("."));', "name of a host"),
  place('join("the segments of the path", path.split("/").filter(isSaid));', `${KINDS}.*segments`),
  place(
    'join("the fields of the query", fields.map(({ value }) => value).filter(isSaid));',
    `${KINDS}.*fields`,
  ),
  place(
    'join("the names of the query\'s fields", fields.map(({ name }) => name).filter(isSaid));',
    `${KINDS}.*names`,
  ),
  place('join("the values of headers", free.map(({ value }) => value).filter(isSaid));', `${KINDS}.*headers`),
  place('join("the names of headers", free.map(({ name }) => name).filter(isSaid));', "names of headers"),
  surface(
    "names in lower case",
    SURFACES,
    "inspection.ts",
    'route.host.startsWith("*.") ? inNameOf',
    "0 === 1 ? inNameOf",
    "host",
  ),
  surface(
    "what is said of it",
    SURFACES,
    "hush.ts",
    "if (findings.length === 0) return text;",
    "return text;",
    KINDS,
  ),
  surface(
    "pieces in what is said of it",
    SURFACES,
    "hush.ts",
    "if (parts.length > 1 && ",
    "if (0 === 1 && ",
    `${KINDS}.*(segments|name of a host)`,
  ),
  surface(
    "a permitted value",
    BODIES,
    "ruling.ts",
    "if (permitted.length === 0) return found;",
    "return found;",
    "bound to a host",
  ),
  surface(
    "a permitted value beside others",
    "test/unit/egress/ruling.test.ts",
    "ruling.ts",
    "touches ? each.start < end && start < each.end :",
    "",
  ),
  surface(
    "where a value is permitted",
    BODIES,
    "inspection.ts",
    "host.endsWith(to.slice(1))",
    "true",
    "bound to a host",
  ),
  surface(
    "that a decoy is never permitted",
    "test/unit/egress/ruling.test.ts",
    "ruling.ts",
    'if (kind === "canary") return true;',
    "",
  ),
  surface(
    "that a known value is never masked",
    BODIES,
    "ruling.ts",
    "place.isBody && !isKnown(worst)",
    "place.isBody",
    "redact",
  ),
  surface(
    "that what was not read is not masked",
    "test/unit/egress/ruling.test.ts",
    "ruling.ts",
    " && !isUnread(worst);",
    ";",
  ),
  surface(
    "that the operator is asked",
    ASKING,
    "ruling.ts",
    'const asks = route.inspection.onMatch === "ask";',
    "const asks = false;",
    "where a route asks",
  ),
  surface(
    "that nobody is asked about a secret's own host",
    "test/unit/egress/questions.test.ts",
    "../questions.ts",
    "if (asks !== true) return;",
    "",
  ),
  surface(
    "what no exception is for",
    ASKING,
    "exceptions.ts",
    "if (!isExceptable(finding)) return false;",
    "",
    "none for what is known",
  ),
  surface(
    "whom an exception is for",
    ASKING,
    "exceptions.ts",
    "host !== target.host || ",
    "",
    "for no other host",
  ),
  surface(
    "which value an exception is for",
    ASKING,
    "exceptions.ts",
    " || mark !== finding.fingerprint",
    "",
    "for nothing beside it",
  ),
  surface(
    "a whole body",
    BODIES,
    "outgoing-body.ts",
    "findings: this.#options.inspector.scan(bytes)",
    "findings: []",
    "programs as they are",
  ),
  surface(
    "a body that passes",
    BODIES,
    "outgoing-body.ts",
    "this.#pass(this.#stream.push(chunk));",
    "this.#pass({ bytes: chunk, findings: [] });",
    "a long body",
  ),
  surface(
    "the end of a body that passes",
    BODIES,
    "outgoing-body.ts",
    "this.#pass(this.#stream.end());",
    "this.#write(this.#stream.end().bytes);",
    "a long body",
  ),
  surface(
    "masks in bodies",
    BODIES,
    "outgoing-body.ts",
    "this.#write(mask(bytes, ruling.findings));",
    "this.#write(bytes);",
    "redact",
  ),
  surface(
    "a body's stated length, exceeded",
    "test/unit/egress/outgoing-body.test.ts",
    "outgoing-body.ts",
    "this.#received > this.#expected",
    "0 === 1",
  ),
  surface(
    "what a body may unpack to",
    BODIES,
    "outgoing-body.ts",
    "this.#plainBytes > limits.inflatedBytes",
    "0 === 1",
    "bomb",
  ),
  surface(
    "waiting for a slow upstream",
    "test/unit/egress/outgoing-body.test.ts",
    "outgoing-body.ts",
    "return this.#decoder ?? this.#source;",
    "return this.#source;",
  ),
  surface(
    "what is held by all bodies",
    "test/unit/egress/outgoing-body.test.ts",
    "outgoing-body.ts",
    "&& held.bytes <= limits.allHeldBytes",
    "",
  ),
  surface("gzip", BODIES, "content-coding.ts", '  ["gzip", "gzip"],\n', "", "a body in gzip"),
  surface("x-gzip", BODIES, "content-coding.ts", '  ["x-gzip", "gzip"],\n', "", "a body in x-gzip"),
  surface("deflate", BODIES, "content-coding.ts", '  ["deflate", "deflate"],\n', "", "a body in deflate"),
  surface("br", BODIES, "content-coding.ts", '  ["br", "br"],\n', "", "a body in br"),
  // Where this Node has it.
  ...(READS_ZSTD
    ? [
        surface("zstd", BODIES, "content-coding.ts", '[["zstd", "zstd"] as const]', "[]", "a body in zstd"),
        surface(
          "what memory zstd may want",
          BODIES,
          "content-coding.ts",
          "createZstdUnpacker(ZSTD_WINDOW_LOG)",
          "createZstdUnpacker()",
          "Content-Encoding",
        ),
      ]
    : []),
  surface("raw deflate", BODIES, "content-coding.ts", "(first & 0x0f) === 8", "true", "a body in deflate"),
  surface(
    "two codings",
    BODIES,
    "content-coding.ts",
    "more.length === 0 ? CODINGS.get(only)",
    "true ? CODINGS.get(only)",
    "Content-Encoding",
  ),
  surface(
    "codings that nobody asked for",
    ANSWERS,
    "content-coding.ts",
    "return CODINGS.has(coding) && ",
    "return ",
    "nothing that cannot be unpacked",
  ),
  surface(
    "parts of what is packed",
    ANSWERS,
    "content-coding.ts",
    'names.includes("range") || ',
    "",
    "nothing that cannot be unpacked",
  ),
  surface(
    "credentials in an answer's head",
    ANSWERS,
    "incoming.ts",
    'const [phrase = "", ...scrubbed] = this.#scrubbed([head.phrase, ...head.headers]);',
    'const [phrase = ""] = this.#scrubbed([head.phrase]);\nconst scrubbed = head.headers;',
    "Bearer.*plain",
  ),
  surface(
    "credentials in a status line",
    ANSWERS,
    "incoming.ts",
    'const [phrase = "", ...scrubbed] = this.#scrubbed([head.phrase, ...head.headers]);',
    "const [, ...scrubbed] = this.#scrubbed([head.phrase, ...head.headers]);\nconst { phrase } = head;",
    "Bearer.*plain",
  ),
  surface(
    "credentials in trailers",
    ANSWERS,
    "incoming.ts",
    "return this.#scrubbed(raw);",
    "return raw;",
    "Bearer.*plain",
  ),
  surface(
    "credentials in an answer's body",
    ANSWERS,
    "incoming.ts",
    "this.#scrub = wantsBody ? scrubber?.open() : undefined;",
    "this.#scrub = undefined;",
    "Bearer.*plain",
  ),
  surface(
    "credentials in what is packed",
    ANSWERS,
    "incoming.ts",
    "this.coding = wantsBody ? codingToUndo(head, options) : undefined;",
    "this.coding = wantsBody ? undefined : codingToUndo(head, options);",
    "packed answer",
  ),
  surface(
    "credentials in text that nobody asked for packed",
    ANSWERS,
    "incoming.ts",
    "(scrubber !== undefined && isText(head.headers))",
    "false",
    "packed answer",
  ),
  surface(
    "orders to the agent",
    ANSWERS,
    "incoming.ts",
    "if (findings.length > 0) {",
    "if (0 === 1) {",
    "orders",
  ),
  surface(
    "the mark on an answer",
    ANSWERS,
    "incoming.ts",
    "if (!this.#flagged) return this.head;",
    "return this.head;",
    "orders",
  ),
  surface(
    "orders that may not arrive",
    ANSWERS,
    "incoming.ts",
    'if (this.#mode === "block") this.#events.refused',
    "if (0 === 1) this.#events.refused",
    "orders",
  ),
  surface(
    "messages from the guest",
    MESSAGES,
    "messages.ts",
    "const ruling = options.ruleOn(message.payload);",
    'const ruling = { kind: "pass" } as Ruling;',
    "pattern.*a text",
  ),
  surface(
    "placeholders in bodies to others",
    PLACEHOLDERS,
    "ruling.ts",
    "if (isPlaceholder(finding.detector)) return misused(place, route);",
    "",
    "in a body to another host, plain",
  ),
  surface(
    "placeholders in another place of their own host",
    PLACEHOLDERS,
    "ruling.ts",
    "(place.isBody || !isPlaceholder(name)) && mayHave(name, place.host)",
    "mayHave(name, place.host)",
    "its own host",
  ),
  surface(
    "placeholders in bodies to their own host",
    PLACEHOLDERS,
    "ruling.ts",
    "(place.isBody || !isPlaceholder(name)) && mayHave(name, place.host)",
    "!isPlaceholder(name) && mayHave(name, place.host)",
    "its own host",
  ),
  surface(
    "what the guest had before an upstream said it",
    ISSUED,
    "inspection.ts",
    'if (kind === "pattern") issued.seenFromGuest(fingerprint);',
    "",
    "repeats",
  ),
  surface(
    "known values in what was issued",
    ISSUED,
    "inspection.ts",
    "may(each) || each.end <= finding.start || finding.end <= each.start",
    "may(each) || each.kind !== finding.detector",
    "new policy",
  ),
  surface(
    "to which host a token may go",
    ISSUED,
    "issued-tokens.ts",
    "tokens.get(fingerprint)?.includes(to) === true",
    "tokens.has(fingerprint)",
    "access token",
  ),
  surface(
    "who may refer to whose tokens",
    ISSUED,
    "issuance.ts",
    "if (realm !== undefined && isSameSite(realm.host, issuer.host))",
    "if (realm !== undefined)",
    "another's registry",
  ),
  surface(
    "what is merely contained",
    ISSUED,
    "issuance.ts",
    "if (!TOKEN_NAME.test(name)) return;",
    "",
    "another field",
  ),
  surface(
    "masks in messages",
    MESSAGES,
    "messages.ts",
    "return framesWith(message, mask(message.payload, ruling.findings));",
    "return framesWith(message, message.payload);",
    "is masked",
  ),
  surface(
    "orders in messages",
    MESSAGES,
    "messages.ts",
    "if (findings.length > 0) {",
    "if (0 === 1) {",
    "instruct",
  ),
  surface(
    "credentials in messages",
    MESSAGES,
    "messages.ts",
    "scrubber === undefined ? message.payload",
    "true ? message.payload",
    "without the credential",
  ),
  surface(
    "credentials in a consent's head",
    MESSAGES,
    "messages.ts",
    "head: (text) => (options.scrubber === undefined ?",
    "head: (text) => (true ?",
    "without the credential",
  ),
  surface(
    "what all messages hold",
    HELD_MESSAGES,
    "messages.ts",
    "held.bytes <= limits.allMessageBytes",
    "0 < 1",
    "goes beyond it is ended",
  ),
  surface(
    "what nobody takes of messages",
    HELD_MESSAGES,
    "messages.ts",
    "waiting[side] = bytes;",
    "",
    "count what nobody takes",
  ),
  surface(
    "what a kept frame holds on to",
    HELD_MESSAGES,
    "frames.ts",
    "frame.fin ? frame : kept(frame)",
    "frame",
    "keeps nothing but",
  ),
  surface(
    "what comes after a refused message",
    MESSAGES,
    "messages.ts",
    "if (isOver) break;",
    "",
    "goes nowhere after",
  ),
  ...[
    ["a reserved bit", "if ((first & 0x70) !== 0)"],
    ["the wrong side's mask", "if (((second & 0x80) !== 0) !== this.#masked)"],
    ["control frames in parts, or too long", "if (isControl && (!fin || short > MAX_CONTROL_BYTES))"],
    ["unknown frames", "if (isControl ? opcode > LAST_CONTROL : opcode > LAST_DATA)"],
    ["messages that are too long", "if (length + (isControl ? 0 : this.#partBytes) > this.#maxBytes)"],
    ["frames out of order", "if ((frame.opcode === CONTINUATION) === (this.#parts.length === 0))"],
    ["too many frames", "if (this.#parts.length > MAX_FRAMES)"],
  ].map(([name = "", find = ""]) =>
    surface(name, MESSAGES, "frames.ts", find, "if (0 === 1)", "no proper WebSocket"),
  ),
  surface(
    "pieces",
    CORRELATION,
    "correlation.ts",
    'return findings.length === 0 ? [] : [{ kind: "pieced", findings }];',
    "return [];",
    "in pieces",
  ),
  surface(
    "the budget of randomness",
    CORRELATION,
    "correlation.ts",
    "memory.bits += entropyOf(words);",
    "",
    "randomness",
  ),
  surface(
    "the budget of bytes",
    CORRELATION,
    "correlation.ts",
    "memory.bytes += count;",
    "",
    "budget of bytes",
  ),
];

const TARGETS = [
  `${T}/targets/names.test.ts`,
  `${T}/targets/framing.test.ts`,
  `${T}/refuse.test.ts`,
  `${T}/targets/http2.test.ts`,
];
/** Files of rules on targets, of which each guard is left out in turn, and the tests that must notice. */
const GUARDED: readonly Guarded[] = [
  { file: "target/target.ts", tests: [...TARGETS, `${T}/direct.test.ts`] },
  { file: "target/authority.ts", tests: ["test/unit/egress/authority.test.ts", ...TARGETS] },
  { file: "allow-list/allow-list.ts", tests: [...TARGETS, `${T}/direct.test.ts`] },
  { file: "rules/path.ts", tests: ["test/unit/egress/path.test.ts", ...TARGETS] },
  { file: "rules/head.ts", tests: ["test/unit/egress/head.test.ts", ...TARGETS] },
  {
    file: "response/head.ts",
    tests: [
      "test/unit/egress/head.test.ts",
      "test/unit/egress/answer-reader.test.ts",
      "test/unit/egress/upstream-connection.test.ts",
    ],
  },
  { file: "upstream/answer-reader.ts", tests: ["test/unit/egress/answer-reader.test.ts"] },
  { file: "upstream/connection.ts", tests: ["test/unit/egress/upstream-connection.test.ts"] },
  { file: "accept/sent-fields.ts", tests: ["test/unit/egress/sent-fields.test.ts"] },
  { file: "accept/field-counter.ts", tests: ["test/unit/egress/sent-fields.test.ts"] },
  { file: "rules/judge.ts", tests: ["test/unit/egress/judge.test.ts"] },
  { file: "rules/git-push.ts", tests: ["test/unit/egress/git-push.test.ts"] },
  { file: "address/ranges.ts", tests: ["test/unit/egress/ranges.test.ts"] },
  {
    file: "address/resolve.ts",
    tests: ["test/unit/egress/resolve.test.ts", `${T}/addresses.test.ts`, `${T}/targets/names.test.ts`],
  },
  {
    file: "pipeline.ts",
    tests: [
      `${T}/reload.test.ts`,
      ...TARGETS,
      `${T}/forward.test.ts`,
      `${T}/limits.test.ts`,
      `${T}/operators-limits.test.ts`,
      `${T}/websocket.test.ts`,
      `${T}/targets/placeholder.test.ts`,
      `${T}/targets/git-push.test.ts`,
      SURFACES,
    ],
  },
];

/** Lines of tables, each left out in turn. */
const TABLES: readonly Table[] = [
  {
    file: "address/ranges.ts",
    line: /^ {2}"[0-9a-f.:]+\/\d+",.*$/gm,
    tests: ["test/unit/egress/ranges.test.ts"],
  },
  {
    file: "address/ranges.ts",
    line: /^ {2}\{ range: range\(.*$/gm,
    tests: ["test/unit/egress/ranges.test.ts"],
  },
  {
    file: "rules/headers.ts",
    line: /^ {2}\["[a-z0-9-]+", "[a-z]+"\],$/gm,
    tests: ["test/unit/egress/head.test.ts", ...TARGETS],
  },
];

/**
 * Guards without which the same comes out, only later, and tables' own checks at the program's start: nothing to notice.
 */
const EQUIVALENT: ReadonlySet<string> = new Set([
  "allow-list/allow-list.ts: policy.wildcard.size === 0",
  "accept/sent-fields.ts: !this.#isBlock",
  "rules/git-push.ts: query < 0",
  'rules/git-push.ts: typeof batch !== "object" || batch === null || Array.isArray(batch)',
  "address/ranges.ts: rest === 0",
  "address/ranges.ts: parsed === undefined",
]);

export function mutantsOf(root: string): readonly Mutant[] {
  const rules = { root, base: EGRESS, prefix: "rule: " };
  return [
    ...DECODERS,
    ...REACHES,
    ...SHORTCUTS,
    ...SURFACE_MUTANTS,
    ...guards({ ...rules, guarded: GUARDED, equivalent: EQUIVALENT }),
    ...tables({ ...rules, tables: TABLES }),
    ...gitGateMutants(root),
  ];
}

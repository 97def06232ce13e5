/**
 * What is looked for under one policy, compiled once. A request is looked into before the credential is put
 * on it and before its host is looked up: a secret in a name reaches no resolver, and the provider's own host is no
 * exception. Whatever is here knows the secrets; what it says of them are names and marks (I2).
 */
import type { Readable } from "node:stream";
import { createGrants, type Grants } from "../../../approvals/grant-counter.ts";
import type { EgressPolicy } from "../../../contract/sidecar.ts";
import { DETECTORS } from "../../../inspect/detectors/index.ts";
import { compileEchoScrubber, type EchoScrubberFactory } from "../../../inspect/echo-scrubber.ts";
import type { Finding } from "../../../inspect/finding.ts";
import { compileInspector, type Inspector } from "../../../inspect/inspector.ts";
import { MIN_KNOWN } from "../../../inspect/known-secret.ts";
import { compileRules } from "../../../inspect/own-rules.ts";
import type { AnswerHead } from "../client/client.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Limits } from "../limits.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import type { RequestHead } from "../rules/head.ts";
import type { Target } from "../target/target.ts";
import { codingsOf, READABLE_CODINGS } from "./content-coding.ts";
import { createCorrelation, type Suspicion } from "./correlation.ts";
import { createExceptions } from "./exceptions.ts";
import { createHush, type Hush } from "./hush.ts";
import { Incoming, type IncomingEvents } from "./incoming.ts";
import { createIssuance } from "./issuance.ts";
import {
  type Audience,
  createIssuedTokens,
  type IssuedTokens,
  inBody,
  inHeader,
  inUrl,
} from "./issued-tokens.ts";
import { inspectMessages, type MessageEvents, type MessageInspection } from "./messages.ts";
import { type BodyEvents, OutgoingBody } from "./outgoing-body.ts";
import { placeholderValues } from "./placeholders.ts";
import { type Place, type Ruling, ruleOn } from "./ruling.ts";
import { headText, queryWords, type Surface, surfaceAt, withoutTokens } from "./surfaces.ts";

export interface Subjected {
  readonly target: Target;
  readonly head: RequestHead;
  readonly route: CompiledRoute;
}

export interface Inspection {
  /** What may be said of a request. */
  readonly hush: Hush;
  /** Why a request may not leave because of what is in its head. */
  refusedHead(request: Subjected): Refusal | undefined;
  /** Looks into a body from now on, or says why it cannot. */
  outgoing(source: Readable, request: Subjected, events: BodyEvents): OutgoingBody | Refusal;
  /** Looks into an answer; undefined when there is nothing to look for in it. */
  incoming(head: AnswerHead, request: Subjected, events: IncomingEvents): Incoming | undefined;
  /** What a request adds to what its host was sent before: nothing is refused for it. */
  suspect(
    request: Subjected,
    sent: { readonly body?: Buffer; readonly bytes?: number },
  ): readonly Suspicion[];
  /** Looks into a WebSocket. */
  messages(request: Subjected, events: MessageEvents): MessageInspection;
}

/** What is known beyond one policy. */
interface Lasting {
  /** A reload does not take a client's session away. */
  readonly issued: IssuedTokens;
  readonly grants: Pick<Grants, "holds" | "use">;
  readonly excepted: (finding: Finding, grant: string, host: string) => void;
  /** By WebSockets, which outlive a policy. */
  readonly messagesHeld: { bytes: number };
}

/** Rejects with a UserError naming what cannot be looked for: a secret that is too short, a pattern that is none. */
export async function compileInspection(
  policy: EgressPolicy,
  findingsKey: string,
  limits: Limits,
  { issued, grants, excepted, messagesHeld }: Lasting = forOnePolicy(),
): Promise<Inspection> {
  const known = [...policy.known, ...placeholderValues(policy.placeholders)];
  const rules = policy.rules.length === 0 ? {} : { rules: await compileRules(policy.rules) };
  const fingerprintKey = Buffer.from(findingsKey, "hex");
  const compile = (detectors: typeof DETECTORS): Inspector =>
    compileInspector({ detectors, known, ...rules, fingerprintKey });
  const whole = compile(DETECTORS);
  const bare = policy.routes.every(({ inspection }) => inspection.patterns) ? whole : compile([]);
  const inspectorOf = (route: CompiledRoute): Inspector => (route.inspection.patterns ? whole : bare);
  const mayHave = permissions(known);
  const held = { bytes: 0 };
  const correlation = createCorrelation(compile(DETECTORS.filter(({ id }) => !CHANCE.has(id))));
  const phrases = compileInspector({ detectors: [], phrases: true, fingerprintKey });
  // Nobody sees whether a name was written with capitals.
  const inLowerCase = known.map((secret) => ({ ...secret, value: secret.value.toLowerCase() }));
  const names = compileInspector({ detectors: [], known: inLowerCase, fingerprintKey });
  const hush = createHush(whole, names);

  const issuance = createIssuance(whole, issued);

  const exceptions = createExceptions(policy.exceptions ?? [], grants, excepted);

  /** @param target of the request, which is one use of an exception however much is found in it. */
  function rule(found: readonly Finding[], place: Place, route: CompiledRoute, target: Target): Ruling {
    const findings = exceptions.withoutExcepted(found, target);
    const ruling = ruleOn(findings, place, route, mayHave);
    if (ruling.kind !== "pass")
      for (const { kind, fingerprint } of findings) if (kind === "pattern") issued.seenFromGuest(fingerprint);
    return ruling;
  }

  /** What an upstream said that may go there; nothing else touches it, which would go with it. */
  function isIssued(finding: Finding, among: readonly Finding[], to: Audience): boolean {
    const may = ({ kind, fingerprint }: Finding): boolean =>
      kind === "pattern" && issued.mayGo(fingerprint, to);
    return (
      may(finding) &&
      among.every((each) => may(each) || each.end <= finding.start || finding.end <= each.start)
    );
  }

  /** Of a head, what is found in it without the tokens that may be in that part of it. */
  function inHead(subjected: Subjected): ReadonlyMap<Surface, readonly Finding[]> {
    const { target, route } = subjected;
    const look = (asked: Pick<Subjected, "target" | "head">) => {
      const { text, surfaces } = headText(asked.target, asked.head, route);
      return { text, groups: bySurface(inspectorOf(route).scan(text), surfaces) };
    };
    const { text, groups } = look(subjected);
    const tokens = [...groups].flatMap(([{ part }, findings]) => {
      if (part === undefined) return [];
      const to = part === "url" ? inUrl(target.host) : inHeader(target.host);
      return findings
        .filter((each) => isIssued(each, findings, to))
        .map(({ start, end }) => ({ part, text: text.toString("latin1", start, end) }));
    });
    return tokens.length === 0 ? groups : look(withoutTokens(subjected, tokens)).groups;
  }

  function inNameOf(host: string): readonly Finding[] {
    return [...names.scan(Buffer.from(host)), ...names.scan(Buffer.from(host.replaceAll(".", "")))];
  }

  const scrubbers = new Map<CompiledRoute, EchoScrubberFactory>();
  /** For what this very route puts on requests: its upstream has seen nothing else of ours. */
  function scrubberOf(route: CompiledRoute): EchoScrubberFactory | undefined {
    const values = route.secrets.filter((value) => Buffer.byteLength(value) >= MIN_KNOWN);
    if (values.length === 0) return undefined;
    const scrubber = scrubbers.get(route) ?? compileEchoScrubber(values);
    scrubbers.set(route, scrubber);
    return scrubber;
  }

  return {
    refusedHead(subjected) {
      const { target, route } = subjected;
      for (const [{ name, joined }, findings] of inHead(subjected)) {
        const ruling = rule(findings, { ...headOf(target, hush.text(name)), joined }, route, target);
        if (ruling.kind === "refuse") return ruling.refusal;
      }
      const found = route.host.startsWith("*.") ? inNameOf(target.host) : [];
      const ruling = rule(found, headOf(target, "the host"), route, target);
      return ruling.kind === "refuse" ? ruling.refusal : undefined;
    },
    hush,
    outgoing(source, { target, head, route }, events) {
      const codings = codingsOf(head.contentEncodings);
      if (codings.kind === "unreadable") return unreadable();
      const place = { surface: "the body", host: target.host, isBody: true };
      return new OutgoingBody(
        source,
        {
          contentLength: head.contentLength,
          coding: codings.kind === "one" ? codings.coding : undefined,
          inspector: inspectorOf(route),
          rule: (found) => {
            const tokens = found.filter((each) => isIssued(each, found, inBody(target.host, pathOf(target))));
            return rule(
              found.filter(
                ({ start, end }) => !tokens.some((each) => each.start <= start && end <= each.end),
              ),
              place,
              route,
              target,
            );
          },
          limits,
          held,
        },
        events,
      );
    },
    incoming(head, { target, head: asked, route }, events) {
      const scrubber = scrubberOf(route);
      const tokens = issuance.answer({ host: target.host, path: pathOf(target) }, head);
      if (scrubber === undefined && tokens === undefined && route.inspection.phrases === "off")
        return undefined;
      return new Incoming(head, { route, scrubber, tokens, phrases, limits, asked }, events);
    },
    suspect({ target, route }, sent) {
      const { host, path } = target;
      if (!route.inspection.budget) return [];
      const now = performance.now();
      if (sent.bytes !== undefined) return correlation.bytes(host, sent.bytes, now);
      const words = sent.body ?? Buffer.from(queryWords(path), "latin1");
      if (words.length === 0) return [];
      const suspicions =
        sent.body === undefined ? correlation.query(host, words, now) : correlation.body(host, words, now);
      const pieces = { ...headOf(target, "what was sent"), joined: true };
      return suspicions.filter(
        (each) => each.kind !== "pieced" || rule(each.findings, pieces, route, target).kind !== "pass",
      );
    },
    messages({ target, route }, events) {
      const place = { surface: "a WebSocket message", host: target.host, isBody: true };
      return inspectMessages(
        {
          ...{ route, phrases, limits, held: messagesHeld, scrubber: scrubberOf(route) },
          ruleOn: (payload) => rule(inspectorOf(route).scan(payload), place, route, target),
        },
        events,
      );
    },
  };
}

/** What pieces put side by side do not make by chance: it has a beginning of its own. Known secrets have names. */
const CHANCE: ReadonlySet<string> = new Set(
  DETECTORS.filter(({ trigger }) => trigger.kind !== "keyword").map(({ id }) => id),
);

const pathOf = ({ path }: Target): string => path.split("?", 1)[0] ?? "";

const headOf = ({ host }: Target, surface: string): Place => ({ surface, host, isBody: false });

/** What was found, by where it begins; without what pieces make by chance. */
function bySurface(
  findings: readonly Finding[],
  surfaces: readonly Surface[],
): ReadonlyMap<Surface, readonly Finding[]> {
  const groups = new Map<Surface, Finding[]>();
  for (const finding of findings) {
    const surface = surfaceAt(surfaces, finding.start);
    const isChance = finding.kind === "pattern" && CHANCE.has(finding.detector);
    if (surface === undefined || (surface.joined && isChance)) continue;
    const group = groups.get(surface);
    if (group === undefined) groups.set(surface, [finding]);
    else group.push(finding);
  }
  return groups;
}

function permissions(known: EgressPolicy["known"]): (name: string, host: string) => boolean {
  const hosts = new Map(known.map(({ name, to }) => [name, to]));
  return (name, host) =>
    (hosts.get(name) ?? []).some((to) => (to.startsWith("*.") ? host.endsWith(to.slice(1)) : host === to));
}

function forOnePolicy(): Lasting {
  return {
    issued: createIssuedTokens(),
    grants: createGrants(),
    excepted: () => {},
    messagesHeld: { bytes: 0 },
  };
}

function unreadable(): Refusal {
  return refuse(
    "encoding-refused",
    "the body is packed in a way that cannot be looked into",
    `bodies plain, or in one of ${READABLE_CODINGS}`,
  );
}

/**
 * What may be said of a request, to the guest or to the log: its host and path without what is secret in them, whether
 * it was allowed or not, and whatever refused it. Otherwise the log would hold what must not be anywhere (I2), and
 * the agent would read its own secret in a refusal, and be refused at its model for it.
 */
import type { Finding } from "../../../inspect/finding.ts";
import type { Inspector } from "../../../inspect/inspector.ts";
import { mask } from "../../../inspect/mask.ts";
import type { Refusal, Subject } from "../denial.ts";

export interface Hush {
  /** The text with what was found in it masked. */
  text(text: string): string;
  subject(subject: Subject): Subject;
  /** A refusal's words name its host. */
  refusal(refusal: Refusal, subject: Subject): Refusal;
}

/** Instead of what is secret only as a whole. */
const ALL_OF_IT = "MASKED";
/** Hosts and paths of which it is known what may be shown; each is at most as long as a request's head. */
const REMEMBERED = 64;

/** @param names finds known values in lower case, as names of hosts and headers are. */
export function createHush(inspector: Inspector, names: Inspector): Hush {
  function findingsIn(text: string): readonly Finding[] {
    const plain = inspector.scan(Buffer.from(text, "latin1"));
    return [...plain, ...names.scan(Buffer.from(text.toLowerCase(), "latin1"))];
  }

  function hushed(text: string): string {
    const findings = findingsIn(text);
    if (findings.length === 0) return text;
    return mask(Buffer.from(text, "latin1"), findings).toString("latin1");
  }

  /** Agents ask the same hosts for the same paths again and again. Oldest first. */
  const said = new Map<string, string>();

  function hushedParts(text: string, border: string): string {
    const key = border + text;
    let shown = said.get(key);
    if (shown !== undefined) return shown;
    shown = lookedInto(text, border);
    said.set(key, shown);
    const oldest = said.size > REMEMBERED ? said.keys().next().value : undefined;
    if (oldest !== undefined) said.delete(oldest);
    return shown;
  }

  /** Its parts could be pieces of one value. */
  function lookedInto(text: string, border: string): string {
    const parts = text.split(border).filter((part) => part !== "");
    if (parts.length > 1 && findingsIn(parts.join("")).length > 0) return ALL_OF_IT;
    return hushed(text);
  }

  function subjectOf(subject: Subject): Subject {
    const { host, path } = subject;
    const shown = path?.split(/[?#]/, 1)[0];
    return {
      ...subject,
      ...(host !== undefined && { host: hushedParts(host, ".") }),
      ...(shown !== undefined && { path: shown.startsWith("/") ? hushedPath(shown) : hushed(shown) }),
    };
  }

  const hushedPath = (path: string): string => {
    const text = hushedParts(path, "/");
    return text.startsWith("/") ? text : `/${text}`;
  };

  return {
    text: hushed,
    subject: subjectOf,
    refusal(refusal, { host }) {
      const shown = host === undefined ? host : hushedParts(host, ".");
      if (host === undefined || shown === undefined || shown === host) return refusal;
      const said = (text: string): string => text.replaceAll(host, shown);
      const { ask } = refusal;
      const wanted =
        ask && Object.entries(ask.arguments).map(([key, value]) => [key, value === host ? shown : value]);
      return {
        ...refusal,
        ...{ reason: said(refusal.reason), rule: said(refusal.rule) },
        ...(ask && { ask: { tool: ask.tool, arguments: Object.fromEntries(wanted ?? []) } }),
        // What is left of its name is nobody's host: no yes could open it.
        asks: false,
      };
    },
  };
}

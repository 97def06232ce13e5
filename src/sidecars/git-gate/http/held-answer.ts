/**
 * receive-pack's answer on its way to the client. What it says of refs is held until the gate knows whether it is true:
 * receive-pack refuses, too, when its hook was killed or its disk is full, and upstream may have the push by then.
 * What is for people to read (sideband 2) passes at once. Source: gitprotocol-pack(5), gitprotocol-common(5).
 */
import { printable } from "../../../lib/printable.ts";

export interface HeldAnswer {
  /** What may go to the client now. */
  pass(bytes: Buffer): Buffer;
  /** What was held. Undefined when it was more than any report is. */
  held(): Buffer | undefined;
}

const DIGITS = 4;
const FOR_PROGRAMS = 1;
const FOR_PEOPLE = 2;
const FATAL = 3;
/** A line for each of the refs that one push may name, many times over. */
const MAX_HELD = 1024 * 1024;

export function holdAnswer(): HeldAnswer {
  let rest: Buffer = Buffer.alloc(0);
  /** No packets, or none of a sideband: nothing of it is for people alone. */
  let plain = false;
  let kept: Buffer[] = [];
  let size = 0;
  const keep = (bytes: Buffer): void => {
    size += bytes.length;
    if (size > MAX_HELD) kept = [];
    else kept.push(Buffer.from(bytes));
  };
  return {
    pass(bytes) {
      if (plain) {
        keep(bytes);
        return Buffer.alloc(0);
      }
      rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
      const passing: Buffer[] = [];
      for (let packet = firstPacket(rest); packet !== undefined; packet = firstPacket(rest)) {
        const band = packet[DIGITS];
        if (packet.length > DIGITS && (band === FOR_PEOPLE || band === FATAL)) passing.push(packet);
        else keep(packet);
        rest = rest.subarray(packet.length);
      }
      if (rest.length >= DIGITS && lengthOf(rest) === undefined) {
        plain = true;
        keep(rest);
        rest = Buffer.alloc(0);
      }
      return Buffer.concat(passing);
    },
    held() {
      return size > MAX_HELD ? undefined : Buffer.concat([...kept, rest]);
    },
  };
}

function firstPacket(bytes: Buffer): Buffer | undefined {
  const length = lengthOf(bytes);
  if (length === undefined || bytes.length < Math.max(length, DIGITS)) return undefined;
  return bytes.subarray(0, Math.max(length, DIGITS));
}

/** Undefined when these bytes begin no packet. */
function lengthOf(bytes: Buffer): number | undefined {
  const digits = bytes.toString("latin1", 0, DIGITS);
  if (!/^[0-9a-f]{4}$/.test(digits)) return undefined;
  const length = Number.parseInt(digits, 16);
  return length === 0 || length > DIGITS ? length : undefined;
}

/** Git itself cuts a line at 64 KiB. */
const MAX_LINE = 8_000;

/** Lines that the client's git shows, each after `remote: `. */
export function wordsForPeople(lines: readonly string[]): Buffer {
  return Buffer.concat(lines.map((line) => inBand(FOR_PEOPLE, `${printable(line, MAX_LINE)}\n`)));
}

/** What receive-pack would have said had it lived: of no ref that it has moved. Ends the answer. */
export function reportOfNothing(refs: readonly string[], capabilities: ReadonlySet<string>): Buffer {
  // The client's git would wait for ever for an end that does not come.
  if (!capabilities.has("report-status") && !capabilities.has("report-status-v2")) return FLUSH;
  const report = ["unpack not taken", ...refs.map((ref) => `ng ${ref} not taken`)];
  const packets = report.map((line) => packet(Buffer.from(`${line}\n`)));
  return Buffer.concat([inBand(FOR_PROGRAMS, Buffer.concat([...packets, FLUSH])), FLUSH]);
}

const FLUSH = Buffer.from("0000");

function inBand(band: number, data: string | Buffer): Buffer {
  return packet(Buffer.concat([Buffer.from([band]), Buffer.from(data)]));
}

function packet(data: Buffer): Buffer {
  const length = (DIGITS + data.length).toString(16).padStart(DIGITS, "0");
  return Buffer.concat([Buffer.from(length), data]);
}

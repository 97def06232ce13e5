/** A text looked at by the inspector as it comes, with the line on which each finding stands. */
import type { Finding } from "../../../inspect/finding.ts";
import type { InspectionStream, Inspector } from "../../../inspect/inspector.ts";

export type OnFinding = (finding: Finding, line: number) => void;

export interface TextInspection {
  push(bytes: Buffer): void;
  end(): void;
}

const NEWLINE = 10;

/** Below this a text is looked at as a whole, which costs less than a stream of it. */
const WHOLE_BYTES = 256 * 1024;

export function inspectText(
  inspector: Inspector,
  size: number | undefined,
  found: OnFinding,
): TextInspection {
  let lines = 1;
  const tell = (bytes: Buffer, findings: readonly Finding[]): void => {
    let at = 0;
    for (const finding of findings) {
      lines += countLines(bytes.subarray(at, finding.start));
      at = finding.start;
      found(finding, lines);
    }
    lines += countLines(bytes.subarray(at));
  };
  if (size !== undefined && size <= WHOLE_BYTES) {
    const parts: Buffer[] = [];
    return {
      push: (bytes) => void parts.push(bytes),
      end() {
        const [only] = parts;
        const whole = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
        const findings = inspector.scan(whole);
        if (findings.length > 0) tell(whole, findings);
      },
    };
  }
  const stream: InspectionStream = inspector.stream();
  return {
    push(bytes) {
      const released = stream.push(bytes);
      tell(released.bytes, released.findings);
    },
    end() {
      const released = stream.end();
      tell(released.bytes, released.findings);
    },
  };
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}

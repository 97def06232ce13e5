/**
 * One file, looked at as it stands and through whatever archives it holds, to a stated depth and amount. What is of
 * a kind that is opened but cannot be is a refusal, never a silence (I4).
 */
import type { Finding } from "../../../inspect/finding.ts";
import type { Inspector } from "../../../inspect/inspector.ts";
import { type Refusal, refuse } from "../denial.ts";
import { LIMITS } from "../limits.ts";
import {
  GZIP_MARK,
  type Inflation,
  inflateMember,
  OLD_GZIP_MARK,
  readGzipHead,
  readZipHead,
  readZipTable,
  unopenedFormat,
  ZIP_MARK,
  ZIP_TABLE_MARK,
} from "./members.ts";
import { inspectText } from "./text.ts";

/** What one push has used up, and why it stopped. */
export interface Budget {
  unpacked: number;
  refusal: Refusal | undefined;
}

export interface ContentHooks {
  readonly inspector: Inspector;
  readonly budget: Budget;
  /** `line` counts in the file itself; it says nothing of what lies inside of an archive. */
  found(finding: Finding, line: number, inside: readonly string[]): void;
  unopened(format: string, inside: readonly string[]): void;
  /** Names the file in a refusal. */
  readonly path: () => string;
}

export interface Content {
  /** A promise only where an archive has to be waited for. */
  push(bytes: Buffer): Promise<void> | undefined;
  end(): Promise<void> | undefined;
}

export function inspectContent(hooks: ContentHooks, size: number): Content {
  return openLayer(hooks, size, [], { count: 0 });
}

interface Member {
  readonly read: typeof readZipTable;
  /** Where it begins in its layer. */
  readonly at: number;
  head: Buffer;
  inflation: Inflation | undefined;
}

/** Long enough for every mark but one byte of it. */
const CARRY = 3;
/** For what a format begins with. */
const START_BYTES = 8;

function openLayer(
  hooks: ContentHooks,
  size: number | undefined,
  inside: readonly string[],
  members: { count: number },
): Content {
  const { budget } = hooks;
  const text = inspectText(hooks.inspector, size, (finding, line) => hooks.found(finding, line, inside));
  let carry: Buffer = Buffer.alloc(0);
  let start: Buffer = Buffer.alloc(0);
  let open: Member[] = [];
  let seen = 0;

  function stop(code: "archive-too-large" | "archive-unreadable", reason: string, rule: string): void {
    const where = [hooks.path(), ...inside].join(" > ");
    budget.refusal ??= refuse(code, `${where}: ${reason}`, rule, { subjects: [hooks.path()] });
  }

  /** Gives `bytes`, which begin at the member's first unread byte, to the member. False when it is done with. */
  async function feed(member: Member, bytes: Buffer): Promise<boolean> {
    if (member.inflation !== undefined) return await member.inflation.push(bytes);
    member.head = Buffer.concat([member.head, bytes]);
    const head = member.read(member.head, member.at);
    switch (head.kind) {
      case "more":
        return true;
      case "none":
        return false;
      case "unreadable":
        stop(
          "archive-unreadable",
          `the member ${head.name} cannot be looked at: ${head.why}`,
          "zip, stored or deflated",
        );
        return false;
      case "deflated": {
        // One that may be none gets a layer more, in which nothing is opened: else whatever is merely stored in the last were refused.
        if (inside.length >= LIMITS.archiveDepth + (head.stated ? 0 : 1)) {
          stop(
            "archive-too-large",
            "archives lie in it too deep",
            `${LIMITS.archiveDepth} archives within each other`,
          );
          return false;
        }
        const layer = openLayer(hooks, undefined, [...inside, head.name], members);
        member.inflation = inflateMember(
          async (out) => {
            budget.unpacked += out.length;
            if (budget.unpacked > LIMITS.unpackedBytes) {
              stop(
                "archive-too-large",
                "its archives unpack to too much",
                `${LIMITS.unpackedBytes} bytes a push`,
              );
            }
            if (budget.refusal !== undefined) return false;
            await layer.push(out);
            return true;
          },
          async () => await layer.end(),
        );
        const rest = member.head.subarray(head.skip);
        member.head = Buffer.alloc(0);
        return rest.length === 0 || (await member.inflation.push(rest));
      }
    }
  }

  async function pushMembers(joined: Buffer, bytes: Buffer, marks: readonly Mark[]): Promise<void> {
    const before = seen - joined.length;
    // Those that were open get all of it; those that begin in it, what follows their beginning.
    const still: Member[] = [];
    for (const member of open) if (await feed(member, bytes)) still.push(member);
    for (const { at, read } of marks) {
      if (budget.refusal !== undefined) return;
      if (read !== readZipTable) members.count += 1;
      if (members.count > LIMITS.members || still.length >= LIMITS.openMembers) {
        stop(
          "archive-too-large",
          "it has too many archive members",
          `${LIMITS.members}, ${LIMITS.openMembers} at once`,
        );
        return;
      }
      const member: Member = { read, at: before + at, head: Buffer.alloc(0), inflation: undefined };
      if (await feed(member, joined.subarray(at))) still.push(member);
    }
    open = still;
  }

  return {
    push(bytes) {
      if (budget.refusal !== undefined) return undefined;
      text.push(bytes);
      if (start.length < START_BYTES) start = Buffer.concat([start, bytes.subarray(0, START_BYTES)]);
      seen += bytes.length;
      const joined = carry.length === 0 ? bytes : Buffer.concat([carry, bytes]);
      const marks = marksIn(joined, carry.length);
      carry = Buffer.from(joined.subarray(Math.max(0, joined.length - CARRY)));
      return marks.length === 0 && open.length === 0 ? undefined : pushMembers(joined, bytes, marks);
    },
    end() {
      text.end();
      const format = unopenedFormat(start);
      if (format !== undefined) hooks.unopened(format, inside);
      if (open.length === 0) return undefined;
      return (async () => {
        for (const { inflation } of open) await inflation?.end();
      })();
    },
  };
}

interface Mark {
  readonly at: number;
  readonly read: typeof readZipTable;
}

/** A mark that lies wholly in the first `seen` bytes was found the time before. */
function marksIn(bytes: Buffer, seen: number): readonly Mark[] {
  const marks: Mark[] = [];
  for (const [mark, read] of MARKS) {
    for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
      if (at + mark.length > seen) marks.push({ at, read });
    }
  }
  return marks.sort((a, b) => a.at - b.at);
}

const MARKS = [
  [ZIP_MARK, readZipHead],
  [ZIP_TABLE_MARK, readZipTable],
  [GZIP_MARK, readGzipHead],
  [OLD_GZIP_MARK, readGzipHead],
] as const;

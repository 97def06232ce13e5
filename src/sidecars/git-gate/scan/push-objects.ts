/** The new objects of a push, each looked at as it is stored: files through their archives, commits and tags, names in folders. */
import { type DenialCode, type Refusal, refuse } from "../denial.ts";
import { LIMITS } from "../limits.ts";
import { isLfsPointer, LFS_POINTER_BYTES } from "../policy/content.ts";
import { type Content, inspectContent } from "./content.ts";
import { type Look, several } from "./look.ts";
import type { ObjectHead, ObjectSink } from "./object-stream.ts";
import { shownBytes } from "./shown.ts";
import { inspectText } from "./text.ts";
import { treeNames } from "./trees.ts";

export interface PushObjects {
  readonly sink: ObjectSink;
  /** What stands for files that are nowhere to be looked at. */
  refusal(): Refusal | undefined;
  seen(): {
    readonly commits: number;
    readonly objects: number;
    /** Of all of them, unpacked. */
    readonly bytes: number;
    readonly unopened: readonly string[];
  };
}

export function inspectObjects(look: Look): PushObjects {
  const { inspector, limits, budget, findings, shown, excepted } = look;
  const unopened = new Set<string>();
  const pointers: string[] = [];
  let commits = 0;
  let objects = 0;
  let bytes = 0;
  let current: Content | undefined;

  /** One more than are asked about says that there are too many. */
  function notePointer(path: string): void {
    if (pointers.length <= LIMITS.pointers) pointers.push(path);
  }

  function admit({ type, size, path }: ObjectHead): boolean {
    objects += 1;
    bytes += size;
    if (type === "commit") commits += 1;
    const over = (code: DenialCode, reason: string, rule: string): boolean => {
      budget.refusal ??= refuse(code, reason, rule);
      return false;
    };
    if (objects > limits.objects) {
      const rule = `at most ${limits.objects} in a push`;
      return over("too-many-objects", "the push brings too many objects", rule);
    }
    if (type === "blob" && size > limits.fileBytes) {
      const rule = `at most ${limits.fileBytes} bytes a file`;
      return over("file-too-large", `${shown(path)} has ${size} bytes`, rule);
    }
    if (type !== "blob" && size > LIMITS.objectBytes) {
      const rule = `at most ${LIMITS.objectBytes} bytes a ${type}`;
      return over("object-too-large", `a ${type} has ${size} bytes`, rule);
    }
    if (bytes > LIMITS.inspectedBytes) {
      const rule = `at most ${LIMITS.inspectedBytes} bytes in a push`;
      return over("too-many-objects", "the push unpacks to too much", rule);
    }
    return budget.refusal === undefined;
  }

  function open(head: ObjectHead): Content {
    switch (head.type) {
      case "blob":
        return openBlob(head);
      case "tree":
        return openTree(head);
      case "commit":
      case "tag": {
        // As stored: message, author, committer, trailers, signatures, headers that nothing shows.
        const where = { in: head.type, ...(head.type === "commit" && { commit: head.id }) };
        const text = inspectText(inspector, head.size, (finding) => findings.add(finding, where));
        return { push: (part) => void text.push(part), end: () => void text.end() };
      }
    }
  }

  function openBlob({ id, size, path }: ObjectHead): Content {
    // The names of an archive's members are the agent's as a path is.
    const named = (inside: readonly string[]): string[] =>
      inside.map((member) => shownBytes(inspector, Buffer.from(member)));
    const content = inspectContent(
      {
        inspector,
        budget,
        path: () => shown(path),
        unopened: (format, inside) => {
          if (unopened.size >= LIMITS.toldUnopened) return;
          unopened.add(`${shown(path)} (${[...named(inside), format].join(" > ")})`);
        },
        found: (finding, line, inside) => {
          const place = inside.length > 0 ? { inside: named(inside) } : { line };
          findings.add(finding, { in: "file", path: shown(path), ...place }, id);
        },
      },
      size,
    );
    // Wherever git's pipe cuts it: a first part may be a single byte.
    const small: Buffer[] = [];
    return {
      push: (part) => {
        if (size <= LFS_POINTER_BYTES) small.push(part);
        return content.push(part);
      },
      end: () => {
        if (isLfsPointer(Buffer.concat(small), size)) notePointer(path);
        return content.end();
      },
    };
  }

  /** Names of what no change of a path shows: of empty folders. */
  function openTree({ id, path }: ObjectHead): Content {
    const parts: Buffer[] = [];
    return {
      push: (part) => void parts.push(part),
      end: () => {
        const names = treeNames(Buffer.concat(parts), id.length / 2);
        for (const finding of inspector.scan(names)) findings.add(finding, { in: "path", path: shown(path) });
      },
    };
  }

  return {
    sink: {
      begin(head) {
        if (!admit(head)) return false;
        current = open(head);
        return true;
      },
      data: (part) => current?.push(part),
      end: () => current?.end(),
    },
    refusal() {
      const paths = pointers.filter(
        (path, i) =>
          i === LIMITS.pointers || !excepted("lfs-pointer", Buffer.from(path, "latin1").toString("utf8")),
      );
      if (paths.length === 0) return undefined;
      return refuse(
        "lfs-pointer",
        `${several(look, paths)} is a pointer to a file in Git LFS, which the gate does not carry; commit the file itself`,
        "no LFS pointers",
        { subjects: paths.slice(0, LIMITS.toldFindings).map(shown) },
      );
    },
    seen: () => ({ commits, objects, bytes, unopened: [...unopened] }),
  };
}

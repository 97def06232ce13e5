/** How a decoded text came about, and which bytes of the raw one a part of it stands for. */
import type { Decoding } from "./finding.ts";
import type { Frame } from "./frame.ts";
import { squeezeBytes } from "./squeeze.ts";
import { type Doubling, type Origins, TextCleaner } from "./text-cleaner.ts";
import { GROUPS, type Packing } from "./unpack.ts";

/** One decoding: of these bytes of `parent`. */
export type Step = { origins?: Origins } & (
  | {
      readonly kind: "text";
      readonly parent: Frame;
      readonly from: number;
      readonly to: number;
      readonly doubling: Doubling;
    }
  | {
      readonly kind: "squeeze";
      readonly parent: Frame;
      readonly from: number;
      readonly to: number;
      readonly hex: boolean;
    }
  | { readonly kind: Packing; readonly parent: Frame; readonly from: number; readonly to: number }
);

export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What the span of the innermost text is in the outermost. Computed anew, only for findings. */
export function locate(path: readonly Step[], span: Span): Span {
  return path.reduceRight((inner, step) => outer(step, inner), span);
}

export function decodings(path: readonly Step[]): Decoding[] {
  return path.flatMap(({ kind }) => (kind === "squeeze" ? [] : [kind]));
}

function outer(step: Step, { start, end }: Span): Span {
  switch (step.kind) {
    case "text":
    case "squeeze": {
      step.origins ??= originsOf(step);
      const { from, to } = step.origins;
      return { start: from[start] ?? step.from, end: to[end - 1] ?? step.to };
    }
    case "base64":
    case "base32":
    case "hex": {
      const { digits, bytes } = GROUPS[step.kind];
      return {
        start: step.from + Math.floor((start * digits) / bytes),
        end: Math.min(step.to, step.from + Math.ceil((end * digits) / bytes)),
      };
    }
  }
}

/** Decodes once more, noting what came from where. */
function originsOf(step: Step): Origins {
  const room = step.to - step.from;
  const origins = { from: new Int32Array(room), to: new Int32Array(room) };
  const { bytes } = step.parent;
  if (step.kind === "text")
    new TextCleaner().clean(bytes, step.from, step.to, Buffer.alloc(room), {
      origins,
      doubling: step.doubling,
    });
  else if (step.kind === "squeeze") {
    squeezeBytes(bytes, step.from, step.to, Buffer.alloc(room), step.hex, origins.from);
    for (const [i, position] of origins.from.entries()) origins.to[i] = position + 1;
  }
  return origins;
}

/** Every encoding in every place of a request's head: bodies and messages are looked into as the bytes that they are. */
import { beforeAll, describe, expect, it } from "vitest";
import { compileInspection, type Inspection } from "../../../src/sidecars/egress/inspection/inspection.ts";
import { LIMITS } from "../../../src/sidecars/egress/limits.ts";
import { type CompiledRoute, compilePolicy } from "../../../src/sidecars/egress/policy/compile.ts";
import { readHead } from "../../../src/sidecars/egress/rules/head.ts";
import { faultOfPath } from "../../../src/sidecars/egress/rules/path.ts";
import { policyOf, route } from "../../support/egress.ts";
import { ENCODERS } from "../../support/encoders.ts";
import { KNOWN_VALUES, SECRETS } from "../../support/inspected-site.ts";

const HOST = "api.test";

let ruled: CompiledRoute | undefined;
let inspection: Inspection;
beforeAll(async () => {
  const policy = policyOf({ routes: [route({ host: HOST })], known: KNOWN_VALUES });
  ruled = compilePolicy(policy).exact.get(HOST)?.routes[0];
  inspection = await compileInspection(policy, "00".repeat(32), LIMITS);
});

interface Sent {
  readonly path?: string;
  /** Flat: name, value. */
  readonly headers?: readonly string[];
}

const thirds = (value: string): readonly string[] => {
  const third = Math.ceil(value.length / 3);
  return [value.slice(0, third), value.slice(third, 2 * third), value.slice(2 * third)];
};
/** What a parser of HTTP takes for a header's value as it stands. */
const isFieldValue = (text: string): boolean =>
  /^[\t\x20-\x7e\x80-\xff]*$/.test(text) && text.trim() === text;
const arePieces = (value: string, border: RegExp): boolean =>
  !border.test(value) && thirds(value).every((piece) => piece !== "" && isFieldValue(piece));

/** `holds`: whether there is a request that has the value there, in one piece or three. */
const PLACES: readonly {
  readonly name: string;
  readonly holds: (value: string) => boolean;
  readonly with: (value: string) => Sent;
}[] = [
  { name: "the path", holds: (value) => !value.includes("?"), with: (value) => ({ path: `/a/${value}/b` }) },
  {
    name: "the segments of the path, joined",
    holds: (value) => arePieces(value, /[/?]/),
    with: (value) => ({ path: `/${thirds(value).join("/")}` }),
  },
  { name: "the query", holds: () => true, with: (value) => ({ path: `/x?a=1&note=${value}&b=2` }) },
  { name: "a name in the query", holds: () => true, with: (value) => ({ path: `/x?a=1&${value}=2` }) },
  {
    name: "the fields of the query, joined",
    holds: (value) => arePieces(value, /[&;]/),
    with: (value) => ({
      path: `/x?${thirds(value)
        .map((piece, i) => `p${i}=${piece}`)
        .join("&")}`,
    }),
  },
  { name: "a header", holds: isFieldValue, with: (value) => ({ headers: ["X-Note", value] }) },
  {
    name: "a header of every client's",
    holds: isFieldValue,
    with: (value) => ({ headers: ["User-Agent", value] }),
  },
  {
    name: "a cookie",
    holds: isFieldValue,
    with: (value) => ({ headers: ["Cookie", `a=1; b=${value}; c=2`] }),
  },
  {
    name: "the values of headers, joined",
    holds: (value) => arePieces(value, /\n/),
    with: (value) => ({ headers: thirds(value).flatMap((piece, i) => [`X-P${i}`, piece]) }),
  },
  {
    name: "the values of cookies, joined",
    holds: (value) => arePieces(value, /;/),
    with: (value) => ({
      headers: [
        "Cookie",
        thirds(value)
          .map((piece, i) => `c${i}=${piece}`)
          .join("; "),
      ],
    }),
  },
];

/** Undefined where it would leave. */
function refusalOf({ path = "/x", headers = [] }: Sent): string | undefined {
  const fault = faultOfPath(path);
  if (fault !== undefined) return "path-refused";
  const head = readHead(["Host", HOST, ...headers], LIMITS.requestHeaders);
  if (!head.allow || ruled === undefined) throw new Error("the request was not put together well");
  const target = { scheme: "https", host: HOST, path } as const;
  return inspection.refusedHead({ target, head: head.value, route: ruled })?.code;
}

describe.each(PLACES)("$name", ({ holds, with: put }) => {
  it("holds each kind of secret in no encoding", () => {
    const outcomes = new Map<string, number>();
    const missed: string[] = [];
    for (const secret of SECRETS)
      for (const { name, encode, takes } of ENCODERS) {
        const plain = Buffer.from(secret.value);
        const value = takes(plain) ? encode(plain).toString("latin1") : secret.value;
        if (!holds(value)) continue;
        const code = refusalOf(put(value)) ?? "leaves";
        outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
        if (code !== secret.code && code !== "path-refused")
          missed.push(`${secret.kind} in ${name}: ${code}`);
      }
    expect(missed).toEqual([]);
    // Of some forty encodings a head can hold at least a third of each.
    expect(outcomes.get("secret-found")).toBeGreaterThan(25);
    expect(refusalOf(put("just-a-note"))).toBeUndefined();
  });
});

/**
 * Every place of a request in which a value could leave, with each kind of secret, in the disguises that matter there:
 * nothing of it reaches the upstream, no name is resolved, and nothing that egress says holds it.
 */
import { Buffer } from "node:buffer";
import { describe, expect, it } from "vitest";
import { base32 } from "../../../support/encoders.ts";
import {
  type Answer,
  ask,
  askHttp2,
  CANARY,
  DISGUISES,
  HOST,
  type InspectedSite,
  inspectedSites,
  KNOWN,
  leaksIn,
  openHttp2,
  PATTERN,
  prose,
  type RawRequest,
  SECRETS,
  told,
  WILD,
} from "../../../support/inspected-site.ts";

const { serve, onEnd } = inspectedSites();

const thirds = (value: string): [string, string, string] => {
  // An escape that is cut is none.
  const unit = value.startsWith("%") ? 3 : 1;
  const third = Math.ceil(value.length / unit / 3) * unit;
  return [value.slice(0, third), value.slice(third, 2 * third), value.slice(2 * third)];
};
const inLabels = (text: string): string => (text.match(/.{1,20}/g) ?? []).join(".");
const multipart = (...parts: readonly string[]): RawRequest => ({
  headers: ["Content-Type: multipart/form-data; boundary=XyZ"],
  body: `${parts.map((part) => `--XyZ\r\n${part}\r\n`).join("")}--XyZ--\r\n`,
});
const typed = (type: string, body: string | Buffer): RawRequest => ({
  headers: [`Content-Type: ${type}`],
  body,
});

/** `place` is what the refusal says of it. */
const SURFACES: readonly {
  readonly name: string;
  readonly place: string;
  readonly with: (value: string) => RawRequest;
}[] = [
  { name: "the path", place: "the path", with: (value) => ({ method: "GET", path: `/a/${value}/b` }) },
  {
    name: "the segments of the path, joined",
    place: "the segments of the path, joined",
    with: (value) => ({ method: "GET", path: `/${thirds(value).join("/")}` }),
  },
  {
    name: "a field of the query",
    place: "the query",
    with: (value) => ({ method: "GET", path: `/x?a=1&note=${value}&b=2` }),
  },
  {
    name: "the name of a field of the query",
    place: "the query",
    with: (value) => ({ method: "GET", path: `/x?a=1&${value}&b=2` }),
  },
  {
    name: "the fields of the query, joined",
    place: "the fields of the query, joined",
    with: (value) => ({
      method: "GET",
      path: `/x?${thirds(value)
        .map((part, i) => `p${i}=${part}`)
        .join("&")}`,
    }),
  },
  {
    name: "the names of the query's fields, joined",
    place: "the names of the query's fields, joined",
    with: (value) => ({
      method: "GET",
      path: `/x?${thirds(value)
        .map((part, i) => `${part}=${i}`)
        .join("&")}`,
    }),
  },
  {
    name: "a header",
    place: "header x-note",
    with: (value) => ({ method: "GET", headers: [`X-Note: see ${value} there`] }),
  },
  {
    name: "a header of the client's own business",
    place: "header user-agent",
    with: (value) => ({ method: "GET", headers: [`User-Agent: curl/8 (${value})`] }),
  },
  {
    name: "a cookie",
    place: "header cookie",
    with: (value) => ({ method: "GET", headers: [`Cookie: a=1; session=${value}; b=2`] }),
  },
  {
    name: "the values of headers, joined",
    place: "the values of headers, joined",
    with: (value) => ({ method: "GET", headers: thirds(value).map((part, i) => `X-P${i}: ${part}`) }),
  },
  {
    name: "the values of headers that nobody marked as free, joined",
    place: "the values of headers, joined",
    with: (value) => ({ method: "GET", headers: thirds(value).map((part, i) => `Part${i}: ${part}`) }),
  },
  {
    name: "the names of headers, joined",
    place: "the names of headers, joined",
    with: (value) => ({
      method: "GET",
      // Of what percent-encodes there is no name.
      headers: thirds(value.replaceAll("%", "")).map((part) => `${part}: 1`),
    }),
  },
  {
    name: "the values of cookies, joined",
    place: "the values of headers, joined",
    with: (value) => ({
      method: "GET",
      headers: [
        `Cookie: ${thirds(value)
          .map((part, i) => `c${i}=${part}`)
          .join("; ")}`,
      ],
    }),
  },
  {
    name: "JSON",
    place: "the body",
    with: (value) => typed("application/json", JSON.stringify({ a: [1, { b: `say ${value}` }] })),
  },
  {
    name: "a key of JSON",
    place: "the body",
    with: (value) => typed("application/json", JSON.stringify({ [value]: 1 })),
  },
  {
    name: "a form",
    place: "the body",
    with: (value) => typed("application/x-www-form-urlencoded", `a=1&b=${value}&c=3`),
  },
  {
    name: "a part of multipart",
    place: "the body",
    with: (value) => multipart('Content-Disposition: form-data; name="a"\r\n\r\n1', `X: y\r\n\r\n${value}`),
  },
  {
    name: "a file's name in multipart",
    place: "the body",
    with: (value) => multipart(`Content-Disposition: form-data; name="f"; filename="${value}.txt"\r\n\r\nx`),
  },
  {
    name: "a part's header in multipart",
    place: "the body",
    with: (value) => multipart(`Content-Disposition: form-data; name="f"\r\nX-Note: ${value}\r\n\r\nx`),
  },
  {
    name: "a part of multipart in base64",
    place: "the body",
    with: (value) =>
      multipart(
        `Content-Transfer-Encoding: base64\r\n\r\n${(
          Buffer.from(`some file\nwith ${value} in it\n`)
            .toString("base64")
            .match(/.{1,20}/g) ?? []
        ).join("\r\n")}`,
      ),
  },
  {
    name: "XML",
    place: "the body",
    with: (value) => typed("application/xml", `<?xml version="1.0"?><a b="${value}"><c/></a>`),
  },
  { name: "text", place: "the body", with: (value) => typed("text/plain", `line\n${value}\n`) },
  {
    name: "what says that it is an image",
    place: "the body",
    with: (value) =>
      typed("image/png", Buffer.concat([Buffer.from([0x89, 0, 255, 254]), Buffer.from(value)])),
  },
  {
    name: "UTF-16",
    place: "the body",
    with: (value) => typed("text/plain; charset=utf-16le", Buffer.from(`\ufeffsay ${value} now`, "utf16le")),
  },
  {
    name: "chunks cut through it",
    place: "the body",
    with: (value) => ({ chunks: ["begin ", ...thirds(value), " end"] }),
  },
  {
    name: "chunks of one byte",
    place: "the body",
    with: (value) => ({ chunks: [...`it is ${value}.`] }),
  },
  {
    name: "the body of a GET",
    place: "the body",
    with: (value) => ({ method: "GET", body: `{"q": "${value}"}` }),
  },
  {
    name: "a body of half a megabyte, at its end",
    place: "the body",
    with: (value) => ({ body: Buffer.concat([prose(500_000), Buffer.from(value)]) }),
  },
];

async function expectRefused(
  site: InspectedSite,
  answer: Pick<Answer, "status" | "denied"> & { readonly head?: string },
  secret: (typeof SECRETS)[number],
  place: string,
): Promise<void> {
  const { denied } = answer;
  expect(denied).toMatchObject({ code: secret.code });
  expect(answer.status).toBe(403);
  expect(denied?.reason.startsWith(`${place} has `), denied?.reason).toBe(true);
  expect(denied?.rule).toMatch(new RegExp(`^${secret.detector}: finding [0-9a-f]{16}`));
  const finding = /finding ([0-9a-f]{16})/.exec(denied?.rule ?? "")?.[1];
  expect(denied?.ask).toMatchObject({
    tool: "request_exception",
    arguments: { finding, detector: secret.detector },
  });
  expect(leaksIn(JSON.stringify(answer))).toEqual([]);
  await site.egress.waitFor("egress.denied");
  expect(leaksIn(told(site))).toEqual([]);
  for (const piece of thirds(secret.value)) expect(told(site)).not.toContain(piece);
  expect(site.wire()).toHaveLength(0);
  expect(site.resolved).toEqual([]);
}

describe.each(SECRETS)("a secret that is a $kind", (secret) => {
  it.each(SURFACES)("does not leave in $name", async (surface) => {
    const site = await serve();
    for (const disguise of DISGUISES) {
      const answer = await ask(site, surface.with(disguise.of(secret.value)));
      await expectRefused(site, answer, secret, surface.place).catch((error: Error) => {
        throw new Error(`${disguise.name}: ${error.message}`);
      });
    }
    expect(site.egress.events("egress.denied")).toHaveLength(DISGUISES.length);
    // Control: the same request with something harmless in it.
    const harmless = await ask(site, surface.with("just-a-note"));
    expect(harmless.status).toBe(200);
    expect(site.arrived).toHaveLength(1);
    expect(site.wire().length).toBeGreaterThan(30);
  });

  it("does not leave in the name of a host: nothing is resolved", async () => {
    const site = await serve();
    const label = (text: string) => ({ method: "GET", host: `${text.toLowerCase()}.wild.test` });
    const hex = Buffer.from(secret.value).toString("hex");
    const places: [RawRequest, string][] = [
      [label(inLabels(hex)), "the labels of the host, joined has "],
      [label(inLabels(base32(Buffer.from(secret.value)))), "the labels of the host, joined has "],
    ];
    // A name has no capitals, so of a pattern nothing is left in it; what is known is known without them too.
    if (secret.kind !== "pattern")
      places.push(
        [label(hex.slice(0, 60)), "the host has "],
        [label(base32(Buffer.from(secret.value)).slice(0, 63)), "the host has "],
        [label(secret.value), "the host has "],
        [label(thirds(secret.value.replaceAll("-", "-x")).join(".").replaceAll("-x", "-")), "the host"],
      );
    for (const [request, place] of places) {
      const answer = await ask(site, request);
      expect(answer.denied?.code, JSON.stringify(request)).toBe(secret.code);
      expect(answer.denied?.reason).toContain(place);
      expect(leaksIn(JSON.stringify(answer.denied))).toEqual([]);
    }
    expect(site.resolved).toEqual([]);
    // Its CONNECT was before anybody looked, and its host is on the log as little.
    expect(leaksIn(told(site))).toEqual([]);
    const control = await ask(site, label("just-a-note"));
    expect(control.denied?.code).toBe("upstream-unresolvable");
    expect(site.resolved).toEqual(["just-a-note.wild.test"]);
  });

  it("does not leave over HTTP/2: header, cookie cut in pieces, path, body", async () => {
    const site = await serve();
    const session = await openHttp2(site);
    onEnd(() => session.destroy());
    const [one, two, three] = thirds(secret.value);
    for (const { of } of DISGUISES) {
      const value = of(secret.value);
      await expectRefused(site, await askHttp2(session, { "x-note": value }), secret, "header x-note");
      await expectRefused(site, await askHttp2(session, { ":path": `/${value}` }), secret, "the path");
      await expectRefused(site, await askHttp2(session, { ":method": "POST" }, value), secret, "the body");
    }
    const crumbs = await askHttp2(session, { cookie: [`a=${one}`, `b=${two}`, `c=${three}`] });
    await expectRefused(site, crumbs, secret, "the values of headers, joined");
    expect((await askHttp2(session, { "x-note": "just a note" })).status).toBe(200);
  });

  it("is told of where it would have gone anyway: to a host without a route, or by a path without a rule", async () => {
    const site = await serve({ route: { matches: [{ paths: [{ type: "exact", value: "/only" }] }] } });
    for (const { of } of DISGUISES) {
      const path = `/${of(secret.value)}`;
      for (const host of [HOST, "evil.test"]) {
        const answer = await ask(site, { method: "GET", host, path });
        expect(answer.status).toBe(403);
        expect(leaksIn(JSON.stringify(answer.denied))).toEqual([]);
      }
      await ask(site, {
        method: "GET",
        host: `${Buffer.from(secret.value).toString("hex").slice(0, 60)}.evil.test`,
      });
    }
    expect(leaksIn(told(site))).toEqual([]);
    expect(site.wire()).toHaveLength(0);
  });
});

describe("what is not sent on is no place to leave by", () => {
  it("trailers, chunk extensions, hop-by-hop headers and credential headers", async () => {
    const site = await serve({ route: { credentialHeaders: ["x-api-key"] } });
    const body = `1;note=${KNOWN}\r\na\r\n0;${PATTERN}\r\nX-Sum: ${CANARY}\r\n\r\n`;
    const head = [
      `POST / HTTP/1.1`,
      `Host: ${HOST}`,
      `Connection: close, x-drop`,
      `X-Drop: ${KNOWN}`,
      `Keep-Alive: ${PATTERN}`,
      `Proxy-Authorization: Basic ${Buffer.from(`x:${KNOWN}`).toString("base64")}`,
      `X_Api_Key: ${CANARY}`,
      `TE: ${PATTERN}`,
      `Transfer-Encoding: chunked`,
      `Trailer: X-Sum`,
    ];
    const answer = await ask(site, Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`));
    expect(answer.status).toBe(200);
    expect(site.arrived[0]?.body.toString()).toBe("a");
    expect(site.arrived[0]?.trailers).toEqual([]);
    expect(leaksIn(site.wire())).toEqual([]);
  });

  it("the method: of HTTP/2 too, only methods that there are", async () => {
    const site = await serve();
    const session = await openHttp2(site);
    onEnd(() => session.destroy());
    for (const method of [["AKIA", "QWERTYUIOPASDFGH"].join(""), "NOSUCHMETHOD"]) {
      const answer = await askHttp2(session, { ":method": method });
      expect(answer.denied?.code).toBe("method-refused");
    }
    expect((await askHttp2(session, { ":method": "PROPFIND" })).status).toBe(200);
    expect(site.arrived.map(({ method }) => method)).toEqual(["PROPFIND"]);
  });
});

describe("a request in which more than one thing could be meant", () => {
  it("has its secret found in whatever bytes stand around it: Latin-1, UTF-8, controls", async () => {
    const site = await serve();
    for (const around of ["\u00e9", "\u00c3\u00a9", "\u00ff", "\t", '"', "'", "<", "]]>"]) {
      for (const { value } of SECRETS) {
        const answer = await ask(site, { method: "GET", headers: [`X-Note: ${around}${value}${around}`] });
        expect(answer.denied?.code, JSON.stringify(around)).toMatch(/^(secret|canary)-found$/);
      }
    }
    expect(site.wire()).toHaveLength(0);
  });

  it("has it found across a header's name and its value", async () => {
    const site = await serve();
    const cut = KNOWN.indexOf("-") + 1;
    const answer = await ask(site, {
      method: "GET",
      headers: [`${KNOWN.slice(0, cut)}x: 1`, `X-${KNOWN.slice(0, 6)}: ${KNOWN.slice(6)}`],
    });
    expect(answer.denied?.code).toBe("secret-found");
    expect(site.wire()).toHaveLength(0);
  });

  it("is looked into where the request line names the host in full, through both kinds of tunnel and none", async () => {
    const site = await serve();
    const answer = await ask(site, { method: "GET", path: `https://${HOST}/x?y=${KNOWN}` });
    expect(answer.denied?.code).toBe("secret-found");
    expect(site.wire()).toHaveLength(0);
  });

  it("is looked into however many headers it has", async () => {
    const site = await serve();
    const many = Array.from({ length: 240 }, (_, i) => `X-H${i}: ${"v".repeat(40)}`);
    const answer = await ask(site, { method: "GET", headers: [...many, `X-Last: ${PATTERN}`] });
    expect(answer.denied?.code).toBe("secret-found");
    expect((await ask(site, { method: "GET", headers: many })).status).toBe(200);
  });

  it("goes its way where the route says that patterns are not looked for; known values stop all the same", async () => {
    const site = await serve({ inspection: { patterns: false } });
    expect((await ask(site, { body: PATTERN, path: `/${PATTERN}` })).status).toBe(200);
    expect((await ask(site, { body: KNOWN })).denied?.code).toBe("secret-found");
    expect((await ask(site, { method: "GET", path: `/${CANARY}` })).denied?.code).toBe("canary-found");
    expect(site.arrived).toHaveLength(1);
  });

  it("is refused by the operator's own rule, in its name", async () => {
    const site = await serve({ policy: { rules: [{ id: "ticket", pattern: "SEC-[0-9]{6}" }] } });
    const answer = await ask(site, { body: "see SEC-123456 there" });
    expect(answer.denied).toMatchObject({
      code: "secret-found",
      rule: expect.stringMatching(/^ticket: finding /) as string,
    });
    expect((await ask(site, { method: "GET", path: "/SEC-654321" })).denied?.code).toBe("secret-found");
    expect((await ask(site, { body: "see SEC-12345 there" })).status).toBe(200);
  });

  it("to a wildcard's host is found in capital letters too, of which no name has any", async () => {
    const site = await serve();
    const answer = await ask(site, { method: "GET", host: `${KNOWN}.wild.test` });
    expect(answer.denied?.code).toBe("secret-found");
    expect(site.resolved).toEqual([]);
    expect((await ask(site, { method: "GET", host: WILD })).denied?.code).toBe("upstream-unresolvable");
  });
});

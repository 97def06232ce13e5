import { describe, expect, it } from "vitest";
import { dryRun } from "../../../src/sidecars/egress/dry-run.ts";
import { curl, denialIn } from "../../support/egress.ts";
import { sites } from "../../support/egress-site.ts";

const HOST = "api.example.test";
const PLACEHOLDER = "placeholder-the-real-credential-stays-outside";

const { serve } = sites();

/** Every one is asked of a dry run and sent by curl: they must agree. */
const REQUESTS: readonly (readonly [method: string, url: string, ...headers: string[]])[] = [
  ["GET", `https://${HOST}/`],
  ["GET", `https://${HOST}`],
  ["GET", `https://${HOST.toUpperCase()}:443/a?b=c`],
  ["GET", `http://${HOST}/`],
  ["GET", "https://evil.test/"],
  ["GET", "http://evil.test/a"],
  ["GET", "https://a.wild.test/"],
  ["GET", "https://xn--e1afmkfd.wild.test/"],
  ["GET", "https://ruled.test/public/x"],
  ["GET", "https://ruled.test/public/../x"],
  ["GET", "https://ruled.test/public//x"],
  ["GET", "https://ruled.test/admin"],
  ["POST", "https://ruled.test/public/x"],
  ["GET", "https://ruled.test/public/x", "X-Original-URL: /admin"],
  ["GET", "https://needs.test/"],
  ["GET", "https://needs.test/", "Accept: text/plain"],
  ["GET", "https://keyed.test/"],
  ["GET", "http://keyed.test/"],
  ["GET", "https://keyed.test/", `Authorization: Bearer ${PLACEHOLDER}`],
  ["GET", `https://${HOST}/`, `Authorization: Bearer ${PLACEHOLDER}`],
  ["GET", `https://${HOST}/r.git/info/refs?service=git-receive-pack`],
  ["TRACE", `https://${HOST}/`],
  ["GET", `https://${HOST}/`, "Host: evil.test"],
];

describe("a dry run", () => {
  it("says of each request what egress then does with it", async () => {
    const { egress, policy, port } = await serve({
      hosts: [
        HOST,
        "*.wild.test",
        {
          host: "ruled.test",
          matches: [{ methods: ["GET"], paths: [{ type: "prefix", value: "/public" }] }],
        },
        {
          host: "needs.test",
          matches: [{ headers: [{ name: "accept", type: "exact", value: "text/plain" }] }],
        },
        {
          host: "keyed.test",
          inject: [{ header: "authorization", value: "Bearer x" }],
          credentialHeaders: ["authorization"],
        },
      ],
    });
    const knowing = { ...policy, placeholders: [{ value: PLACEHOLDER, to: ["keyed.test"] }] };
    await egress.reload(knowing);
    for (const [method, url, ...headers] of REQUESTS) {
      const dry = await dryRun(knowing, {
        method,
        url,
        headers: headers.flatMap((header) => header.split(": ")),
      });
      const { stdout } = await curl(
        egress,
        "--path-as-is",
        ...["-X", method, ...headers.flatMap((header) => ["-H", header]), url],
      );
      const really = stdout.startsWith("{") ? denialIn(stdout) : undefined;
      const asked = [method, url, ...headers].join(" ");
      if (dry.allow) {
        // The site speaks TLS alone: plain HTTP is let through, and fails there.
        expect({ asked, code: really?.code ?? "reached" }).toEqual({
          asked,
          code: url.startsWith("http:") ? "upstream-failed" : "reached",
        });
        expect(dry.dials).toBe(`127.0.0.1:${port}`);
      } else {
        const { code, reason, rule, target } = dry;
        expect({ asked, code, reason, rule, target }).toEqual({
          asked,
          ...{ code: really?.code, reason: really?.reason, rule: really?.rule, target: really?.target },
        });
      }
    }
  });

  it("names the rule, the credential's header and where it leads", async () => {
    const { policy } = await serve({
      hosts: [
        {
          host: "keyed.test",
          connectTo: { host: "::1", port: 8443 },
          matches: [{ methods: ["POST"] }, { methods: ["GET"], paths: [{ type: "prefix", value: "/v1" }] }],
          inject: [{ header: "x-api-key", value: "x" }],
        },
        { host: "sealed.test", tls: "passthrough" },
      ],
    });
    const ask = (method: string, url: string) => dryRun(policy, { method, url, headers: [] });
    expect(await ask("GET", "https://keyed.test/v1/a?b=c")).toEqual({
      allow: true,
      target: "GET https://keyed.test/v1/a",
      route: "keyed.test",
      rule: "GET on /v1/*",
      credential: ["x-api-key"],
      dials: "[::1]:8443",
      bodyDecides: false,
    });
    expect(await ask("POST", "https://keyed.test/r.git/info/lfs/objects/batch")).toMatchObject({
      bodyDecides: true,
    });
    expect(await ask("DELETE", "https://sealed.test/x")).toMatchObject({
      allow: true,
      rule: expect.stringContaining("not opened") as string,
    });
    expect(await ask("GET", "https://keyed.test:80/")).toMatchObject({ allow: false, code: "port-refused" });
    expect(await ask("GET", "https://keyed.test:8443/")).toMatchObject({
      allow: false,
      code: "port-refused",
    });
    expect(await ask("GET", "https://a@keyed.test/")).toMatchObject({ allow: false, code: "host-invalid" });
    expect(await ask("GET", "ftp://keyed.test/")).toMatchObject({ allow: false, code: "scheme-refused" });
  });
});

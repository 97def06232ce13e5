import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EgressConfig } from "../../../src/contract/sidecar.ts";
import { curl, denialIn, dialProxy, exchangeRaw, openTunnel, readAll } from "../../support/egress.ts";
import { codeOfRaw, type Site, type SiteOptions, sites } from "../../support/egress-site.ts";

const HOST = "api.example.test";
const KILOBYTE = "x".repeat(1_024);

const { serve } = sites();
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "limits-"));
  for (const kilobytes of [3, 5, 9]) await writeFile(join(dir, `${kilobytes}k`), KILOBYTE.repeat(kilobytes));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function limited(limits: EgressConfig["limits"], more: Partial<SiteOptions> = {}): Promise<Site> {
  return serve({ hosts: [HOST], options: { config: { limits } }, ...more });
}

const get = (site: Site, ...args: readonly string[]) => curl(site.egress, "-i", ...args, `https://${HOST}/`);
const denied = (stdout: string) => denialIn(stdout.slice(stdout.lastIndexOf("\r\n\r\n") + 4)).code;

describe("an operator's limit of", () => {
  it("requests a minute answers 429, with when to come back", async () => {
    const site = await limited({ requestsPerMinute: 2 });
    for (let i = 0; i < 2; i++) expect((await get(site)).stdout).toContain("reached");
    const { stdout } = await get(site);
    expect(stdout).toMatch(/^HTTP\/(?:1\.1|2) 429/m);
    expect(stdout).toMatch(/^retry-after: (?:2\d|30)\r$/im);
    expect(denied(stdout)).toBe("request-rate");
    expect(site.reached).toHaveLength(2);
    // What is refused for another reason is no request that was made.
    expect((await curl(site.egress, "http://evil.test/")).stdout).toContain("host-not-allowed");
  });

  it("bytes sent a minute refuses a body that says it is longer, by 413", async () => {
    const site = await limited({ uploadBytesPerMinute: 4_096 });
    const { stdout } = await get(site, "--data-binary", `@${join(dir, "5k")}`);
    expect(stdout).toMatch(/413/);
    expect(denied(stdout)).toBe("upload-too-large");
    expect(site.reached).toEqual([]);
  });

  it.each([["--http1.1"], ["--http2"]])(
    "bytes sent a minute stops a body that does not say (%s)",
    async (version) => {
      const site = await limited({ uploadBytesPerMinute: 4_096 });
      const chunked = [version, "-H", "Transfer-Encoding: chunked", "--data-binary", `@${join(dir, "9k")}`];
      const { stdout } = await get(site, ...chunked);
      expect(denied(stdout)).toBe("upload-rate");
      expect(stdout).toMatch(/429/);
      expect(stdout).toMatch(/^retry-after: \d+\r$/im);
      // Nor does another request begin.
      expect(denied((await get(site)).stdout)).toBe("upload-rate");
      expect(site.reached).toEqual([]);
    },
  );

  it("bytes sent a minute counts what several requests send", async () => {
    const site = await limited({ uploadBytesPerMinute: 4_096 });
    const three = ["--data-binary", `@${join(dir, "3k")}`];
    expect((await get(site, ...three)).stdout).toContain("reached");
    expect(denied((await get(site, ...three)).stdout)).toBe("upload-rate");
    expect(site.reached).toHaveLength(1);
  });

  it("bytes received a minute cuts no answer short, and lets the next one wait", async () => {
    const site = await limited(
      { downloadBytesPerMinute: 4_096 },
      { answer: () => ({ body: KILOBYTE.repeat(9) }) },
    );
    expect((await curl(site.egress, `https://${HOST}/`)).stdout).toHaveLength(9 * 1_024);
    const { stdout } = await get(site);
    expect(denied(stdout)).toBe("download-rate");
    expect(stdout).toMatch(/^retry-after: \d+\r$/im);
  });

  it("connections holds: for one more, the one that has kept egress waiting for longest is closed", async () => {
    const site = await limited({ connections: 2 });
    const first = await dialProxy(site.egress.port);
    const gone = readAll(first);
    // Accepted, and found to wait, before the second one.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = await dialProxy(site.egress.port);
    expect((await get(site)).stdout).toContain("reached");
    expect(await gone).toMatchObject({ text: "" });
    expect(second.destroyed).toBe(false);
    second.destroy();
  });

  it("requests at once holds: who sends slowly is told so, and another is served", async () => {
    const site = await limited({ requests: 1 });
    const tls = await openTunnel(site.egress, HOST);
    const answer = readAll(tls);
    tls.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\n\r\n12`);
    await expect.poll(async () => (await get(site)).stdout, { timeout: 20_000 }).toContain("reached");
    expect((await answer).text).toContain("x-bottle-denied: overloaded");
  });

  it("header size takes the place of ours, both ways", async () => {
    const head = (bytes: number): string =>
      `GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nX: ${"y".repeat(bytes)}\r\nConnection: close\r\n\r\n`;
    const small = await limited({ headerBytes: 4_096 }, { scheme: "http" });
    expect(codeOfRaw(await exchangeRaw(small.egress.port, head(5_000)))).toBe("head-too-large");
    const large = await limited({ headerBytes: 65_536 }, { scheme: "http" });
    // More than the site's own parser takes would be its affair.
    expect(codeOfRaw(await exchangeRaw(large.egress.port, head(12_000)))).toBe("HTTP/1.1 200 OK");
  });

  it("idle seconds ends a request that nobody answers", async () => {
    const site = await limited({ idleSeconds: 1 });
    const tls = await openTunnel(site.egress, HOST);
    const answer = readAll(tls);
    // The site waits for the rest of the body, and so does egress.
    tls.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12`);
    expect(codeOfRaw((await answer).text)).toBe("upstream-timeout");
  });
});

describe("log level", () => {
  const secret = ["not", "for", "logs"].join("-");
  const ask = async (log: 0 | 1 | 2): Promise<Site> => {
    const site = await serve({
      hosts: [HOST],
      options: { config: { log } },
      answer: () => ({ headers: { "x-answer": secret } }),
    });
    await curl(site.egress, "-H", `X-Asked: ${secret}`, `https://${HOST}/a?q=${secret}`);
    await curl(site.egress, "http://evil.test/");
    await site.egress.waitFor("egress.denied");
    return site;
  };

  it("0 tells where it was let and what it was denied, and not what it did", async () => {
    const { egress, reached } = await ask(0);
    expect(reached).toHaveLength(1);
    expect(egress.events("egress.allowed")).toEqual([]);
    expect(egress.events("egress.admitted")).toMatchObject([{ method: "GET", host: HOST }]);
    expect(egress.events("egress.denied")).toHaveLength(1);
  });

  it("1 tells requests too, and is what there is without a word", async () => {
    const { egress } = await ask(1);
    const [told] = await egress.waitFor("egress.allowed");
    expect(told).toMatchObject({ path: "/a", status: 200 });
    expect(told).not.toHaveProperty("headers");
  });

  it("2 tells the names and sizes of headers, and never a value", async () => {
    const { egress } = await ask(2);
    const [told] = await egress.waitFor("egress.allowed");
    expect(String(told?.["headers"]).toLowerCase()).toContain(`x-asked: ${secret.length}`);
    expect(told?.["answerHeaders"]).toContain(`x-answer: ${secret.length}`);
    expect(JSON.stringify(egress.messages)).not.toContain(secret);
  });
});

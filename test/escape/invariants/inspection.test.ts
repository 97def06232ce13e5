/**
 * I3, through the whole product: what leaves a bottle over HTTP(S) is opened and looked at, unless the operator
 * exempted its host; and the clients that agents use work with that, out of the box.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HELLO, startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import { type GitSite, startGitSite } from "../../support/git-site.ts";
import { TUNNEL, type Tunnelled } from "../../support/guest-programs.ts";
import {
  createRealOperator,
  hasProgram,
  IDLE,
  type RealBottle,
  type RealOperator,
} from "../../support/real-bottle.ts";

let operator: RealOperator;
let bottle: RealBottle;
let site: Upstream;
let clear: Server;
let gitSite: GitSite;
const inTheClear: string[] = [];

beforeAll(async () => {
  operator = await createRealOperator({ "tunnel.mjs": TUNNEL, "README.md": "cloned\n" });
  const { authority } = operator;
  site = await startPlainSite({ tls: await authority.issue(["allowed.test", "sealed.test"]) });
  gitSite = await startGitSite(await authority.issue(["git.test"]), operator.root);
  clear = createServer((request, response) => {
    inTheClear.push(`${request.method} ${request.url}`);
    response.end("in the clear\n");
  });
  await new Promise<void>((resolve) => clear.listen(0, "127.0.0.1", resolve));
  const to = `127.0.0.1:${site.port}`;
  operator.agent("client", {
    agent_provider: IDLE,
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        { host: "allowed.test", connect_to: to, matches: [{ methods: ["GET"] }] },
        { host: "sealed.test", connect_to: to, tls: "passthrough" },
        {
          host: "clear.test",
          connect_to: `127.0.0.1:${(clear.address() as AddressInfo).port}`,
          matches: [{ paths: [{ type: "prefix", value: "/open" }] }],
        },
        {
          host: "git.test",
          connect_to: `127.0.0.1:${gitSite.port}`,
          matches: [{ paths: [{ type: "prefix", value: "/project" }] }],
        },
      ],
    },
  });
  bottle = await operator.start("client", ["--cwd"]);
});
afterAll(async () => {
  await operator.remove();
  await site.close();
  await gitSite.close();
  clear.close();
});

async function tunnel(options: Readonly<Record<string, unknown>>): Promise<Tunnelled> {
  const { stdout, stderr } = await bottle.exec("node", "workspace/tunnel.mjs", JSON.stringify(options));
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as Tunnelled;
}

/** SHA-256 of the bottle's CA, as its log has it. */
function authorityOfBottle(): string {
  const ready = bottle.log().find(({ event }) => event === "bottle.ready");
  return String(ready?.data["fingerprint"]);
}

const plain = (fingerprint: string): string => fingerprint.replaceAll(":", "").toLowerCase();

describe("I3: what the guest sees of TLS", () => {
  it("is a certificate of the bottle's own CA, for a host that it may reach", async () => {
    const { certificates, answer } = await tunnel({ host: "allowed.test" });
    expect(answer).toContain(HELLO);
    expect(certificates).toHaveLength(2);
    expect(certificates?.[0]?.subjectaltname).toBe("DNS:allowed.test");
    expect(plain(certificates?.[1]?.fingerprint256 ?? "")).toBe(authorityOfBottle());
  });

  it("is the upstream's own certificate, for a host that the operator exempted by name", async () => {
    // The guest has no reason to trust the authority that only egress was told of.
    expect((await tunnel({ host: "sealed.test" })).error).toMatch(/UNABLE_TO|SELF_SIGNED/);
    const { certificates, answer } = await tunnel({ host: "sealed.test", insecure: true });
    expect(answer).toContain(HELLO);
    expect(certificates?.[0]?.issuer).toEqual({ CN: "bot-bottle tests" });
    const line = await bottle.logged(
      ({ event, data }) =>
        event !== "egress.admitted" &&
        (data["host"] === "sealed.test" || String(data["target"]).includes("sealed")),
    );
    expect(line).toMatchObject({ event: "egress.allowed", data: { via: "passthrough" } });
  });

  it("cannot name one host to CONNECT and another in the TLS, exempted or not", async () => {
    const before = site.requests.length;
    for (const [host, servername] of [
      ["allowed.test", "elsewhere.test"],
      ["sealed.test", "elsewhere.test"],
      ["sealed.test", "allowed.test"],
    ]) {
      const { answer } = await tunnel({ host, servername, insecure: true });
      expect(answer).toContain("x-bottle-denied: sni-mismatch");
    }
    expect(site.requests.length).toBe(before);
  });

  it("cannot speak anything but TLS over CONNECT", async () => {
    for (const greeting of [
      "SSH-2.0-OpenSSH_9.2\r\n",
      "GET / HTTP/1.1\r\nhost: allowed.test\r\n\r\n",
      "\0\0\0\0",
    ]) {
      const { connect, body } = await tunnel({ host: "allowed.test", plain: greeting });
      expect(connect?.status).toBe(200);
      expect(body).toContain("x-bottle-denied: not-tls");
    }
    // An exempted host is no hole for other protocols either.
    const { body } = await tunnel({ host: "sealed.test", plain: "SSH-2.0-OpenSSH_9.2\r\n" });
    expect(body).toContain("x-bottle-denied: not-tls");
  });

  it("is held to the rules of a route over plain HTTP as over TLS", async () => {
    expect(await bottle.sh("curl -sS http://clear.test/open/page")).toBe("in the clear");
    expect(await bottle.sh("curl -sS http://clear.test/closed")).toContain('"code":"path-not-allowed"');
    expect(await bottle.sh("curl -sS http://clear.test/open/../closed --path-as-is")).toContain('"denied"');
    expect(inTheClear).toEqual(["GET /open/page"]);
    await bottle.logged(({ event, data }) => event === "egress.allowed" && data["path"] === "/open/page");
  });
});

/** I10: what came out of a client says why, and how to ask for just this. */
function expectReason(text: string): void {
  const said = text.slice(text.indexOf('{"denied"'), text.lastIndexOf("}}}}") + 4);
  expect(JSON.parse(said)).toEqual({
    denied: {
      code: "host-not-allowed",
      reason: "no route of this bottle leads to elsewhere.test",
      target: "GET https://elsewhere.test/page",
      rule: "no route for elsewhere.test",
      ask: { tool: "request_access", arguments: { host: "elsewhere.test", method: "GET", path: "/page" } },
    },
  });
}

describe("clients in a bottle, as they come", () => {
  it.skipIf(!hasProgram("curl"))(
    "curl trusts the bottle's CA, in HTTP/1.1 and HTTP/2, and shows a denial",
    async () => {
      expect(await bottle.sh("curl -sS --http1.1 https://allowed.test/")).toBe(HELLO.trim());
      expect(await bottle.sh("curl -sS https://allowed.test/")).toBe(HELLO.trim());
      expect(await bottle.sh("curl -sS -X POST https://allowed.test/")).toContain(
        '"code":"method-not-allowed"',
      );
      expectReason(await bottle.sh("curl -sS https://elsewhere.test/page"));
      expect((await bottle.exec("curl", "-sSf", "https://elsewhere.test/page")).stderr).toContain("403");
    },
  );

  it("git clones over https, and names the refusal of another host", async () => {
    await bottle.sh("git clone --quiet https://git.test/project /tmp/clone");
    expect(await bottle.sh("cat /tmp/clone/README.md")).toBe("cloned");
    expect(gitSite.requests).toContain("POST /project/git-upload-pack");
    const outside = await bottle.exec("git", "clone", "https://git.test/other", "/tmp/other");
    expect(outside.code).toBe(128);
    expect(outside.stderr).toContain(
      "remote: denied: path-not-allowed: no rule of this host covers the path",
    );
    const elsewhere = await bottle.exec("git", "clone", "https://elsewhere.test/project", "/tmp/other");
    expect(elsewhere.code).toBe(128);
    expect(elsewhere.stderr).toContain(
      "remote: denied: host-not-allowed: no route of this bottle leads to elsewhere.test\n",
    );
    expect(elsewhere.stderr).toContain(
      'remote: ask: request_access {"host":"elsewhere.test","method":"GET","path":"/project/info/refs"}\n',
    );
  });

  it.skipIf(!hasProgram("python3"))("python's urllib", async () => {
    const get = (url: string) =>
      bottle.exec(
        "python3",
        "-c",
        [
          "import urllib.request, urllib.error",
          "try:",
          ` print(urllib.request.urlopen("https://${url}").read().decode())`,
          "except urllib.error.HTTPError as e:",
          " print(e, e.read().decode())",
        ].join("\n"),
      );
    expect((await get("allowed.test/")).stdout).toContain(HELLO.trim());
    const { stdout } = await get("elsewhere.test/page");
    expect(stdout).toContain("403: Denied by bottle: host-not-allowed");
    expectReason(stdout);
  });

  it("python's requests, where there is one", async (context) => {
    const importing = "try:\n import requests\nexcept ImportError:\n from pip._vendor import requests\n";
    const get = (url: string) =>
      bottle.exec("python3", "-c", `${importing}print(requests.get("https://${url}").text)`);
    if ((await bottle.exec("python3", "-c", importing)).code !== 0) context.skip("it is not installed");
    expect((await get("allowed.test/")).stdout).toContain(HELLO.trim());
    expectReason((await get("elsewhere.test/page")).stdout);
  });

  it.skipIf(!hasProgram("wget"))("wget", async () => {
    expect((await bottle.exec("wget", "-q", "-O-", "https://allowed.test/")).stdout).toBe(HELLO);
    const denied = await bottle.exec("wget", "-O-", "https://elsewhere.test/");
    expect(denied.code).not.toBe(0);
    expect(denied.stderr).toContain("Denied by bottle: host-not-allowed");
  });

  it.skipIf(!hasProgram("openssl"))("openssl s_client", async () => {
    const get = (host: string) =>
      bottle.sh(
        `printf 'GET /page HTTP/1.1\\r\\nHost: ${host}\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -ign_eof -proxy 127.0.0.1:9099 -connect ${host}:443 -servername ${host} 2>&1`,
      );
    expect(await get("allowed.test")).toContain("Verify return code: 0 (ok)");
    const denied = await get("elsewhere.test");
    expect(denied).toContain("Verify return code: 0 (ok)");
    expectReason(denied);
  });

  it("node's own fetch, from the versions on that read the proxy's variables", async (context) => {
    const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
    if (major < 22 || (major === 22 && minor < 21) || (major === 24 && minor < 5))
      context.skip(`Node ${process.versions.node} does not read them`);
    const get = (url: string) =>
      bottle.exec(
        "node",
        "-e",
        `fetch("https://${url}").then(async (r) => console.log(await r.text()), (e) => { for (; e; e = e.cause) console.log(String(e)); })`,
      );
    expect((await get("allowed.test/")).stdout).toContain(HELLO.trim());
    expectReason((await get("elsewhere.test/page")).stdout);
  });

  it("node's own https in a tunnel, in any version", async () => {
    const { connect, answer } = await tunnel({ host: "elsewhere.test", path: "/page" });
    expect(connect?.status).toBe(200);
    expectReason(answer ?? "");
  });

  // cargo, go, deno, bun and the AWS CLI are not on the machines that run this; what they read is.
  it("others: each variable names a file that is there and has the bottle's CA in it", async () => {
    const variables = [
      "CARGO_HTTP_CAINFO",
      "SSL_CERT_FILE",
      "DENO_CERT",
      "NODE_EXTRA_CA_CERTS",
      "AWS_CA_BUNDLE",
      "PIP_CERT",
      "GIT_SSL_CAINFO",
      "CURL_CA_BUNDLE",
      "REQUESTS_CA_BUNDLE",
    ];
    const having = await bottle.sh(
      `for name in ${variables.join(" ")}; do node -e 'const { readFileSync: read } = require("fs");
        const certificate = read("/etc/ssl/bottle/ca.pem", "utf8");
        if (read(process.env[process.argv[1]], "utf8").includes(certificate)) console.log(process.argv[1])' $name; done`,
    );
    expect(having.trim().split("\n")).toEqual(variables);
    const environment = await bottle.sh("env");
    for (const name of ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"])
      expect(environment).toContain(`${name}=http://127.0.0.1:9099`);
  });
});

import { rootCertificates } from "node:tls";
import { describe, expect, it } from "vitest";
import { caEnvironment } from "../../../src/provision/ca-environment.ts";
import { bundleOf } from "../../../src/provision/ca-store.ts";
import { proxyEnvironment } from "../../../src/provision/proxy-environment.ts";
import { shellQuoted } from "../../../src/provision/shell-quoted.ts";

describe("the CA's variables", () => {
  const env = caEnvironment({ ca: "/ca", bundle: "/bundle" });

  it("give the CA alone to clients that add it to their own roots", () => {
    for (const name of ["NODE_EXTRA_CA_CERTS", "DENO_CERT"]) expect(env[name], name).toBe("/ca");
  });

  it("give the bundle to clients whose whole store it replaces", () => {
    const names = [
      "SSL_CERT_FILE",
      "REQUESTS_CA_BUNDLE",
      "PIP_CERT",
      "CURL_CA_BUNDLE",
      "GIT_SSL_CAINFO",
      "CARGO_HTTP_CAINFO",
      "AWS_CA_BUNDLE",
    ];
    for (const name of names) expect(env[name], name).toBe("/bundle");
  });

  it("lead to the system store by default", () => {
    expect(caEnvironment()).toMatchObject({
      NODE_EXTRA_CA_CERTS: "/etc/ssl/bottle/ca.pem",
      SSL_CERT_FILE: "/etc/ssl/certs/ca-certificates.crt",
    });
  });
});

describe("the proxy's variables", () => {
  it("come in both cases, and leave the agent's own servers alone, each said once", () => {
    const direct = ["bundle.internal", "127.0.0.1", "bundle.internal"];
    expect(proxyEnvironment("http://127.0.0.1:9099", direct)).toEqual({
      HTTP_PROXY: "http://127.0.0.1:9099",
      http_proxy: "http://127.0.0.1:9099",
      HTTPS_PROXY: "http://127.0.0.1:9099",
      https_proxy: "http://127.0.0.1:9099",
      NO_PROXY: "localhost,127.0.0.1,::1,bundle.internal",
      no_proxy: "localhost,127.0.0.1,::1,bundle.internal",
      NODE_USE_ENV_PROXY: "1",
    });
  });
});

describe("the bundle", () => {
  const [first = "", second = "", third = ""] = rootCertificates;

  it("keeps the system's roots and ends with the bottle's", () => {
    const bundle = bundleOf(`${first}\n${second}\n`, third);
    expect(bundle.startsWith(first)).toBe(true);
    expect(bundle.match(/BEGIN CERTIFICATE/g)).toHaveLength(3);
    expect(bundle.indexOf(third)).toBeGreaterThan(bundle.indexOf(second));
  });

  it("replaces the CA of the bottle's earlier life", () => {
    const earlier = bundleOf(first, second);
    const now = bundleOf(earlier, third);
    expect(now).toBe(bundleOf(first, third));
    expect(now).not.toContain(second);
  });
});

describe("a word of a command that is shown", () => {
  it("is quoted when a shell would read more than a word", () => {
    expect(shellQuoted("refs/bottles/a-12345/heads/x")).toBe("refs/bottles/a-12345/heads/x");
    expect(shellQuoted("a b")).toBe("'a b'");
    expect(shellQuoted("$(x)'y")).toBe("'$(x)'\\''y'");
    expect(shellQuoted("")).toBe("''");
  });
});

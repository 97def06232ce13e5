import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { pipelockYaml } from "../../../src/sidecars/pipelock/settings.ts";
import { readSettings } from "../../doubles/pipelock/settings.ts";

const folder = mkdtempSync(join(tmpdir(), "bbp-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const places = {
  listen: "127.0.0.1:8888",
  certificate: join(folder, "ca.pem"),
  key: join(folder, "key.pem"),
};
const policy = {
  hosts: ["api.test", "*.wide.test", "10.0.0.1"],
  sealed: ["*.wide.test"],
  addresses: ["10.0.0.0/24"],
  credentialHeaders: ["authorization"],
};

function read(text: string): unknown {
  const file = join(folder, "pipelock.yaml");
  writeFileSync(file, text, { mode: 0o600 });
  writeFileSync(places.key, "", { mode: 0o600 });
  return readSettings(file);
}

describe("pipelock's configuration", () => {
  it("is strict, opens TLS as its own CA, and blocks what it finds", () => {
    expect(parse(pipelockYaml(places, policy))).toMatchObject({
      version: 1,
      mode: "strict",
      enforce: true,
      api_allowlist: policy.hosts,
      fetch_proxy: { listen: "127.0.0.1:8888" },
      forward_proxy: { enabled: true, sni_verification: true },
      tls_interception: {
        enabled: true,
        ca_cert: places.certificate,
        ca_key: places.key,
        passthrough_domains: policy.sealed,
      },
      request_body_scanning: { enabled: true, action: "block", scan_headers: true, header_mode: "all" },
      dlp: { scan_env: true, include_defaults: true },
      ssrf: { ip_allowlist: policy.addresses },
    });
  });

  it("has every header searched but what HTTP itself needs and where egress puts credentials", () => {
    const { request_body_scanning: scanning } = parse(pipelockYaml(places, policy)) as {
      request_body_scanning: { ignore_headers: string[] };
    };
    const ignored = scanning.ignore_headers.map((name) => name.toLowerCase());
    expect(ignored).toContain("authorization");
    for (const name of ["cookie", "user-agent", "x-api-key", "referer", "accept"])
      expect(ignored).not.toContain(name);
  });

  it("is read by a reader that knows no other key, even for a bottle without routes", () => {
    expect(() => read(pipelockYaml(places, policy))).not.toThrow();
    const nothing = { hosts: [], sealed: [], addresses: [], credentialHeaders: [] };
    expect(() => read(pipelockYaml(places, nothing))).not.toThrow();
  });

  it("holds whatever a host or header is called as a text", () => {
    const odd = ["yes", "1e3", "a: b", "- x", "#c", "{}", "é\u2028"];
    const { api_allowlist } = parse(pipelockYaml(places, { ...policy, hosts: odd })) as {
      api_allowlist: unknown;
    };
    expect(api_allowlist).toEqual(odd);
  });

  it.each([
    ["a key at the top", (text: string) => `${text}extra: 1\n`, "field extra not found"],
    [
      "a key within",
      (text: string) => text.replace("enforce: true", "enforce: true\nsuppress: []"),
      "suppress",
    ],
    ["a second document", (text: string) => `${text}---\nmode: audit\n`, "one YAML document"],
  ])("would be refused with %s: the reader is strict", (_what, change, words) => {
    expect(() => read(change(pipelockYaml(places, policy)))).toThrow(words);
  });

  it("would be refused where others can read its key", () => {
    const file = join(folder, "open.yaml");
    writeFileSync(file, pipelockYaml(places, policy), { mode: 0o600 });
    chmodSync(places.key, 0o644);
    expect(() => readSettings(file)).toThrow("can be read by others");
  });
});

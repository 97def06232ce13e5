import { createPrivateKey, X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { mintAuthority } from "../../../src/bundle/certificate-authority.ts";

const DAY = 86_400_000;

describe("a bottle's CA", () => {
  it("is its own, signs leaves and nothing longer, and lives for days", async () => {
    const now = new Date("2030-01-01T00:00:00Z");
    const { certificate, privateKey, fingerprint } = await mintAuthority("x-00000", now);
    const parsed = new X509Certificate(certificate);
    expect(parsed.ca).toBe(true);
    expect(parsed.subject).toContain("CN=bot-bottle x-00000");
    expect(parsed.checkIssued(parsed)).toBe(true);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.checkPrivateKey(createPrivateKey(privateKey))).toBe(true);
    expect(parsed.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: "prime256v1" });
    expect(parsed.fingerprint256.replaceAll(":", "").toLowerCase()).toBe(fingerprint);
    const [from, to] = [Date.parse(parsed.validFrom), Date.parse(parsed.validTo)];
    // A clock that is set, or a guest that is behind, by days.
    expect(from).toBeLessThan(now.getTime() - 2 * DAY);
    expect(from).toBeGreaterThan(now.getTime() - 30 * DAY);
    expect(to - now.getTime()).toBeGreaterThan(DAY);
    expect(to - now.getTime()).toBeLessThan(30 * DAY);
    // basicConstraints: critical, CA, pathLen 0. keyUsage: critical, keyCertSign and cRLSign.
    const der = parsed.raw.toString("hex");
    expect(der).toContain("0603551d130101ff040830060101ff020100");
    expect(der).toContain("0603551d0f0101ff040403020106");
  });

  it("is another for every bottle and every run", async () => {
    const [a, b] = await Promise.all([mintAuthority("x-00000"), mintAuthority("x-00000")]);
    expect(a.fingerprint).not.toBe(b.fingerprint);
    expect(a.privateKey).not.toBe(b.privateKey);
  });
});

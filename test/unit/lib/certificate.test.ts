import "reflect-metadata"; // Must come first: the X.509 library looks for it while it loads.
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { describe, expect, it } from "vitest";
import { mintAuthority } from "../../../src/bundle/certificate-authority.ts";
import { leafSigner, signAuthority } from "../../../src/lib/certificate.ts";

const newKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" });

function makeLeaves() {
  const { certificate, privateKey } = mintAuthority("x-00000");
  const keys = newKeys();
  return {
    authority: new X509Certificate(certificate),
    keys,
    sign: leafSigner({ certificate, key: createPrivateKey(privateKey) }, keys.publicKey),
  };
}

/** As another implementation reads it, which knows nothing of ours. */
const read = (certificate: X509Certificate) => new x509.X509Certificate(Uint8Array.from(certificate.raw));

describe("a leaf", () => {
  const hosts: readonly (readonly [host: string, names: string])[] = [
    ["api.example.com", "DNS:api.example.com"],
    [`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.example`, ""],
    ["192.0.2.255", "IP Address:192.0.2.255"],
    ["::1", "IP Address:0:0:0:0:0:0:0:1"],
    ["::", "IP Address:0:0:0:0:0:0:0:0"],
    ["2001:db8::8:800:200c:417a", "IP Address:2001:DB8:0:0:8:800:200C:417A"],
    ["fe80::", "IP Address:FE80:0:0:0:0:0:0:0"],
    ["1:2:3:4:5:6:7:8", "IP Address:1:2:3:4:5:6:7:8"],
    ["::ffff:192.0.2.1", "IP Address:0:0:0:0:0:FFFF:C000:201"],
  ];
  it.each(hosts)("is for %s alone, and from its authority", (host, names) => {
    const { authority, keys, sign } = makeLeaves();
    const leaf = sign(host);
    expect(leaf.subjectAltName).toBe(names || `DNS:${host}`);
    expect(leaf.subject).toBe("CN=bot-bottle");
    expect(leaf.verify(authority.publicKey)).toBe(true);
    expect(leaf.checkIssued(authority)).toBe(true);
    expect(leaf.publicKey.equals(keys.publicKey)).toBe(true);
    expect([leaf.validFrom, leaf.validTo]).toEqual([authority.validFrom, authority.validTo]);
    expect(leaf.ca).toBe(false);
  });

  it("says what it may be used for, and by whose key it is signed, as others read it", async () => {
    const { authority, sign } = makeLeaves();
    const leaf = read(sign("api.example.com"));
    const [basic, usage, extended] = [
      leaf.getExtension(x509.BasicConstraintsExtension),
      leaf.getExtension(x509.KeyUsagesExtension),
      leaf.getExtension(x509.ExtendedKeyUsageExtension),
    ];
    expect([basic?.critical, basic?.ca, basic?.pathLength]).toEqual([true, false, undefined]);
    expect([usage?.critical, usage?.usages]).toEqual([true, x509.KeyUsageFlags.digitalSignature]);
    expect(extended?.usages).toEqual([x509.ExtendedKeyUsage.serverAuth]);
    const issuer = read(authority);
    const identifier = issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
    expect(leaf.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId).toBe(identifier);
    expect(identifier).toBe(Buffer.from(await issuer.publicKey.getKeyIdentifier()).toString("hex"));
    expect(leaf.extensions).toHaveLength(5);
    expect(Buffer.from(leaf.issuerName.toArrayBuffer())).toEqual(
      Buffer.from(issuer.subjectName.toArrayBuffer()),
    );
    expect(await leaf.verify({ publicKey: issuer, signatureOnly: true })).toBe(true);
  });

  it("has a positive serial number that is nobody else's", () => {
    const { sign } = makeLeaves();
    const serials = Array.from({ length: 600 }, () => sign("api.example.com").serialNumber);
    expect(new Set(serials).size).toBe(serials.length);
    for (const serial of serials) expect(serial).toMatch(/^[0-7][0-9A-F]{31}$/);
  });
});

describe("an authority", () => {
  it("says its time also where two digits do not say the year, and names of any length", () => {
    const commonName = `é${"x".repeat(300)}`;
    const validity = {
      notBefore: new Date("2049-12-31T23:59:59Z"),
      notAfter: new Date("2050-01-01T00:00:00Z"),
    };
    const authority = signAuthority({ commonName, organization: "o" }, newKeys(), validity);
    expect([authority.validFrom, authority.validTo].map((text) => new Date(text))).toEqual([
      validity.notBefore,
      validity.notAfter,
    ]);
    const { subjectName, notAfter } = read(authority);
    expect(subjectName.getField("CN")).toEqual([commonName]);
    expect(subjectName.getField("O")).toEqual(["o"]);
    expect(notAfter).toEqual(validity.notAfter);
    expect(authority.verify(authority.publicKey)).toBe(true);
    expect(authority.checkIssued(authority)).toBe(true);
  });
});

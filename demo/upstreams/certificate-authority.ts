/**
 * A certificate authority that lives as long as the process: made at run time, its key never written.
 * For upstreams that stand on this machine; a bottle trusts it only through `upstream_ca`.
 */
import "reflect-metadata"; // Must come first: the X.509 library looks for it while it loads.
import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

/** What a TLS server shows and holds, both PEM. */
export interface ServerIdentity {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface CertificateAuthority {
  /** PEM. */
  readonly certificate: string;
  /** A leaf for these DNS names and IP literals; valid now and for a day unless told otherwise. */
  issue(hosts: readonly [string, ...string[]], validity?: Validity): Promise<ServerIdentity>;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const HOUR_MS = 3_600_000;
/** A leaf of this authority is used within the run that asked for it. */
const LIFETIME_MS = 24 * HOUR_MS;

export async function makeCertificateAuthority(name: string): Promise<CertificateAuthority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(),
    name: [{ CN: [name] }],
    ...aroundNow(),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificate: root.toString("pem"),
    async issue(hosts, validity = aroundNow()) {
      const leafKeys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: newSerialNumber(),
        subject: [{ CN: [hosts[0]] }],
        issuer: root.subject,
        notBefore: validity.notBefore,
        notAfter: validity.notAfter,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
          new x509.SubjectAlternativeNameExtension(
            hosts.map((host) => ({ type: isIP(host) === 0 ? "dns" : "ip", value: host })),
          ),
          await x509.AuthorityKeyIdentifierExtension.create(root),
        ],
      });
      const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", leafKeys.privateKey));
      return { certificate: leaf.toString("pem"), key: x509.PemConverter.encode(key, "PRIVATE KEY") };
    },
  };
}

function aroundNow(): Validity {
  return { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + LIFETIME_MS) };
}

/** Positive as DER wants it: the first byte's top bit is clear. */
function newSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return bytes.toString("hex");
}

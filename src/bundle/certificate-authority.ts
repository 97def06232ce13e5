/**
 * The bottle's own CA. Its key exists in the memory of the keeper and of egress, for days, and can sign
 * leaves only (pathLen 0); it is never written anywhere, and no host store learns of it (I2).
 */
import { generateKeyPairSync } from "node:crypto";
import { signAuthority } from "../lib/certificate.ts";

export interface CertificateAuthority {
  /** PEM. */
  readonly certificate: string;
  /** PKCS#8 PEM. Secret. */
  readonly privateKey: string;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
}

/** A bottle that is resumed later gets a new one. */
const LIFETIME_DAYS = 7;
/** A guest's clock may be behind ours, and this host's may be set back while the bottle runs. */
const BACKDATED_DAYS = 7;

export function mintAuthority(id: string, now = new Date()): CertificateAuthority {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const names = { commonName: `bot-bottle ${id}`, organization: "bot-bottle" };
  const certificate = signAuthority(names, keys, {
    notBefore: new Date(now.getTime() - BACKDATED_DAYS * 86_400_000),
    notAfter: new Date(now.getTime() + LIFETIME_DAYS * 86_400_000),
  });
  return {
    certificate: certificate.toString(),
    privateKey: keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
  };
}

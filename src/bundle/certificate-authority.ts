/**
 * The bottle's own CA. Its key exists in the memory of the keeper and of egress, for days, and can sign
 * leaves only (pathLen 0); it is never written anywhere, and no host store learns of it (I2).
 */
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

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

export async function mintAuthority(id: string, now = new Date()): Promise<CertificateAuthority> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=bot-bottle ${id}, O=bot-bottle`,
    notBefore: new Date(now.getTime() - BACKDATED_DAYS * 86_400_000),
    notAfter: new Date(now.getTime() + LIFETIME_DAYS * 86_400_000),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  const body = pkcs8.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    certificate: certificate.toString("pem"),
    privateKey: `-----BEGIN PRIVATE KEY-----\n${body.join("\n")}\n-----END PRIVATE KEY-----\n`,
    fingerprint: Buffer.from(await certificate.getThumbprint("SHA-256")).toString("hex"),
  };
}

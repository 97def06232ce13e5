/** What a leaf certificate of the bottle's CA says. */
import "reflect-metadata";
import { type KeyObject, randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** RFC 5280 allows 20; what is random in them makes no two alike. */
const SERIAL_BYTES = 16;

/** @returns from a host to the PEM of a certificate for it and `publicKey`. */
export async function createMint(
  issuer: { readonly certificate: string; readonly key: KeyObject },
  publicKey: KeyObject,
): Promise<(host: string) => Promise<string>> {
  const { subtle } = webcrypto;
  const authority = new X509Certificate(issuer.certificate);
  const pkcs8 = issuer.key.export({ type: "pkcs8", format: "der" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const signingKey = await subtle.importKey("pkcs8", pkcs8, ALGORITHM, false, ["sign"]);
  const leafKey = await subtle.importKey("spki", spki, ALGORITHM, true, ["verify"]);
  const always = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    await AuthorityKeyIdentifierExtension.create(authority),
  ];
  return async (host) => {
    const serial = randomBytes(SERIAL_BYTES);
    // Positive, and never zero.
    serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x01;
    const leaf = await X509CertificateGenerator.create({
      serialNumber: serial.toString("hex"),
      // The host is in the alternative name alone: a common name has room for 64 characters.
      subject: "CN=bot-bottle",
      issuer: authority.subjectName,
      notBefore: authority.notBefore,
      notAfter: authority.notAfter,
      signingAlgorithm: ALGORITHM,
      publicKey: leafKey,
      signingKey,
      extensions: [
        ...always,
        new SubjectAlternativeNameExtension([{ type: isIP(host) === 0 ? "dns" : "ip", value: host }]),
      ],
    });
    return leaf.toString("pem");
  };
}

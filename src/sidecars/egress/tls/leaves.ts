/**
 * Certificates for the hosts the guest talks to, signed by the bottle's own CA, minted when first needed. One
 * key serves them all: it proves nothing to anybody but this guest. The CA's key is taken in once, made
 * unextractable, and never leaves this file again (I2).
 */
import "reflect-metadata";
import { createPrivateKey, generateKeyPairSync, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate as ParsedCertificate,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { UserError } from "../../../lib/errors.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** RFC 5280 allows 20; what is random in them makes no two alike. */
const SERIAL_BYTES = 16;

export interface Leaves {
  /** The TLS identity of `host`; at once two ask, one is minted. */
  contextFor(host: string): Promise<SecureContext>;
}

/** @throws UserError, without any of the text, when certificate and key are not a CA that can sign today. */
export async function createLeaves(
  ca: { readonly certificate: string; readonly privateKey: string },
  maxLeaves: number,
): Promise<Leaves> {
  const issuer = await readAuthority(ca);
  const keys = generateKeyPairSync("ec", { namedCurve: ALGORITHM.namedCurve });
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const publicKey = await webcrypto.subtle.importKey(
    "spki",
    keys.publicKey.export({ type: "spki", format: "der" }),
    ALGORITHM,
    true,
    ["verify"],
  );
  const usages = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    await AuthorityKeyIdentifierExtension.create(issuer.certificate),
  ];

  async function mint(host: string): Promise<SecureContext> {
    const serial = randomBytes(SERIAL_BYTES);
    // Positive, and never zero.
    serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x01;
    const leaf = await X509CertificateGenerator.create({
      serialNumber: serial.toString("hex"),
      // The host is in the alternative name alone: a common name has room for 64 characters.
      subject: "CN=bot-bottle",
      issuer: issuer.certificate.subjectName,
      notBefore: issuer.certificate.notBefore,
      notAfter: issuer.certificate.notAfter,
      signingAlgorithm: ALGORITHM,
      publicKey,
      signingKey: issuer.key,
      extensions: [
        ...usages,
        new SubjectAlternativeNameExtension([{ type: isIP(host) === 0 ? "dns" : "ip", value: host }]),
      ],
    });
    return createSecureContext({ key, cert: leaf.toString("pem"), minVersion: "TLSv1.2" });
  }

  /** In order of use, oldest first. */
  const cache = new Map<string, Promise<SecureContext>>();
  return {
    contextFor(host) {
      let context = cache.get(host);
      if (context === undefined) {
        context = mint(host);
        // The one who asked is told; the next one who asks tries again.
        context.catch(() => cache.delete(host));
      } else {
        cache.delete(host);
      }
      cache.set(host, context);
      const oldest = cache.size > maxLeaves ? cache.keys().next().value : undefined;
      if (oldest !== undefined) cache.delete(oldest);
      return context;
    },
  };
}

async function readAuthority(ca: {
  readonly certificate: string;
  readonly privateKey: string;
}): Promise<{ certificate: ParsedCertificate; key: webcrypto.CryptoKey }> {
  try {
    const checked = new X509Certificate(ca.certificate);
    const privateKey = createPrivateKey(ca.privateKey);
    const inForce = Date.parse(checked.validFrom) <= Date.now() && Date.now() < Date.parse(checked.validTo);
    if (checked.ca && inForce && checked.checkPrivateKey(privateKey)) {
      const der = privateKey.export({ type: "pkcs8", format: "der" });
      const key = await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
      return { certificate: new ParsedCertificate(ca.certificate), key };
    }
  } catch {
    // An error of the parser may quote what it parsed.
  }
  throw new UserError("ca: not a CA certificate in force with its P-256 key");
}

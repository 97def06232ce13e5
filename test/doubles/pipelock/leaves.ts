/** Certificates in the name of whoever is asked for, by the CA that the configuration names. */
import "reflect-metadata"; // Must come first: the X.509 library looks for it while it loads.
import { createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;

export type Leaves = (host: string) => Promise<SecureContext>;

/** @throws Error when they are no CA's, or do not belong together. */
export async function loadAuthority(certPath: string, keyPath: string): Promise<Leaves> {
  const authority = new x509.X509Certificate(readFileSync(certPath, "utf8"));
  if (authority.getExtension(x509.BasicConstraintsExtension)?.ca !== true)
    throw new Error("certificate is not a CA");
  const pem = createPrivateKey(readFileSync(keyPath, "utf8"));
  const signingKey = await webcrypto.subtle.importKey(
    "pkcs8",
    pem.export({ type: "pkcs8", format: "der" }),
    ALGORITHM,
    false,
    ["sign"],
  );
  const made = new Map<string, Promise<SecureContext>>();
  const issue = async (host: string): Promise<SecureContext> => {
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const serial = randomBytes(16);
    serial[0] = (serial[0] ?? 0) & 0x7f;
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: serial.toString("hex"),
      subject: [{ CN: [host] }],
      issuer: authority.subject,
      notBefore: new Date(Date.now() - DAY_MS / 24),
      notAfter: new Date(Date.now() + DAY_MS),
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([{ type: isIP(host) === 0 ? "dns" : "ip", value: host }]),
      ],
    });
    const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
    return createSecureContext({
      cert: leaf.toString("pem"),
      key: x509.PemConverter.encode(key, "PRIVATE KEY"),
    });
  };
  return (host) => {
    const there = made.get(host) ?? issue(host);
    made.set(host, there);
    return there;
  };
}

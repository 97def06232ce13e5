/**
 * Certificates for the hosts the guest talks to, signed by the bottle's own CA, minted when first needed. One
 * key serves them all: it proves nothing to anybody but this guest. The CA's key is taken in once, and never
 * leaves this file again (I2).
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { leafSigner } from "../../../lib/certificate.ts";
import { UserError } from "../../../lib/errors.ts";

export interface Leaves {
  /** The TLS identity of `host`. */
  contextFor(host: string): SecureContext;
}

/** @throws UserError, without any of the text, when certificate and key are not a CA that can sign today. */
export function createLeaves(
  ca: { readonly certificate: string; readonly privateKey: string },
  maxLeaves: number,
): Leaves {
  const issuerKey = readAuthority(ca);
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const sign = leafSigner({ certificate: ca.certificate, key: issuerKey }, keys.publicKey);
  const mint = (host: string): SecureContext =>
    createSecureContext({ key, cert: sign(host).toString(), minVersion: "TLSv1.2" });

  /** In order of use, oldest first. */
  const cache = new Map<string, SecureContext>();
  return {
    contextFor(host) {
      const context = cache.get(host) ?? mint(host);
      cache.delete(host);
      cache.set(host, context);
      const oldest = cache.size > maxLeaves ? cache.keys().next().value : undefined;
      if (oldest !== undefined) cache.delete(oldest);
      return context;
    },
  };
}

function readAuthority(ca: { readonly certificate: string; readonly privateKey: string }): KeyObject {
  try {
    const checked = new X509Certificate(ca.certificate);
    const privateKey = createPrivateKey(ca.privateKey);
    const inForce = Date.parse(checked.validFrom) <= Date.now() && Date.now() < Date.parse(checked.validTo);
    const isSigner = privateKey.asymmetricKeyDetails?.namedCurve === "prime256v1";
    if (checked.ca && inForce && isSigner && checked.checkPrivateKey(privateKey)) return privateKey;
  } catch {
    // An error of the parser may quote what it parsed.
  }
  throw new UserError("ca: not a CA certificate in force with its P-256 key");
}

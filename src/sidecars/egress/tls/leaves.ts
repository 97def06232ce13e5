/**
 * Certificates for the hosts the guest talks to, signed by the bottle's own CA, minted when first needed. One
 * key serves them all: it proves nothing to anybody but this guest. The CA's key is taken in once, made
 * unextractable, and never leaves this file again (I2).
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { UserError } from "../../../lib/errors.ts";

export interface Leaves {
  /** The TLS identity of `host`; at once two ask, one is minted. */
  contextFor(host: string): Promise<SecureContext>;
  /** Loads what mints, which is large, before the first guest waits for it. */
  warm(): void;
}

/** @throws UserError, without any of the text, when certificate and key are not a CA that can sign today. */
export function createLeaves(
  ca: { readonly certificate: string; readonly privateKey: string },
  maxLeaves: number,
): Leaves {
  const issuerKey = readAuthority(ca);
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  let loading: Promise<(host: string) => Promise<string>> | undefined;
  const load = (): NonNullable<typeof loading> => {
    loading ??= import("./mint.ts").then(({ createMint }) =>
      createMint({ certificate: ca.certificate, key: issuerKey }, keys.publicKey),
    );
    return loading;
  };

  async function mint(host: string): Promise<SecureContext> {
    const certificate = await (await load())(host);
    return createSecureContext({ key, cert: certificate, minVersion: "TLSv1.2" });
  }

  /** In order of use, oldest first. */
  const cache = new Map<string, Promise<SecureContext>>();
  return {
    warm: () => void load().catch(() => {}),
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

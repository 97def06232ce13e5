/**
 * Whom egress believes: the roots that node brings, and the operator's. Never the bottle's own CA, which
 * signs for any name and would make an upstream out of anybody who can reach its key.
 */
import { X509Certificate } from "node:crypto";
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { UserError } from "../../../lib/errors.ts";

/** @throws UserError when a text holds something else than certificates. */
export function upstreamRoots(upstreamCa: readonly string[]): SecureContext {
  const options = { minVersion: "TLSv1.2" } as const;
  if (upstreamCa.length === 0) return createSecureContext(options);
  for (const [index, pem] of upstreamCa.entries()) checkCertificates(pem, index);
  return createSecureContext({ ...options, ca: [...rootCertificates, ...upstreamCa] });
}

/** For what only one authority may speak for. @throws UserError when the text is none. */
export function rootsOfOne(authority: string): SecureContext {
  checkCertificates(authority, 0);
  return createSecureContext({ minVersion: "TLSv1.2", ca: authority });
}

/** Node itself would take a text without any certificate, and trust nothing more than before. */
function checkCertificates(pem: string, index: number): void {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    for (const block of blocks) new X509Certificate(block);
    if (blocks.length > 0) return;
  } catch {
    // Told below, without the text.
  }
  throw new UserError(`upstreamCa ${index + 1} is not a PEM text of certificates`);
}

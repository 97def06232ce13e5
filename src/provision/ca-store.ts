/**
 * The bottle's CA in the guest's store. Only its certificate ever comes here; its key stays in the memory of
 * the keeper and of egress (I2).
 */
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import type { Guest } from "../contract/backend.ts";
import { UserError } from "../lib/errors.ts";
import { GUEST_CA } from "./ca-environment.ts";
import { runInGuest } from "./guest-command.ts";
import { withScratchFile } from "./scratch.ts";

/** Where Debian, Fedora, Alpine and macOS keep the roots that this host trusts. */
const HOST_STORES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
] as const;

/** Around the bottle's own root in the bundle. */
export const CA_MARKS = ["# bottle CA: begin", "# bottle CA: end"] as const;
const [BEGIN, END] = CA_MARKS;

/** Writes the CA alone and the bundle, both readable by everybody in the guest and writable by nobody. */
export async function provisionCa(guest: Guest, certificate: string, scratchDir: string): Promise<void> {
  if (!/^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\s*$/.test(certificate)) {
    throw new Error("the bottle's CA is not one PEM certificate");
  }
  const bundle = bundleOf(await systemStore(guest), certificate);
  await put(guest, certificate, GUEST_CA.ca, scratchDir);
  await put(guest, bundle, GUEST_CA.bundle, scratchDir);
}

/** `store` with `certificate` at its end, in place of the one that an earlier life of the bottle put there. */
export function bundleOf(store: string, certificate: string): string {
  const begin = store.indexOf(BEGIN);
  const end = store.indexOf(END);
  const others = begin < 0 || end < begin ? store : store.slice(0, begin) + store.slice(end + END.length);
  return `${others.trim()}\n${BEGIN}\n${certificate.trim()}\n${END}\n`;
}

/** The guest's own roots; where its system has none, the host's, and then those that Node brings. */
async function systemStore(guest: Guest): Promise<string> {
  const inGuest = await runInGuest(guest.exec, ["cat", GUEST_CA.bundle], { cwd: "/" });
  if (inGuest.code === 0 && inGuest.stdout.includes("-----BEGIN CERTIFICATE-----")) {
    return inGuest.stdout.toString("utf8");
  }
  for (const path of HOST_STORES) {
    const text = await readFile(path, "utf8").catch(() => "");
    if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  }
  return rootCertificates.join("\n");
}

async function put(guest: Guest, text: string, to: string, scratchDir: string): Promise<void> {
  try {
    await withScratchFile(scratchDir, text, 0o644, (from) =>
      guest.copyIn(from, to, { user: "root", mode: 0o644 }),
    );
  } catch (cause) {
    throw new UserError(`cannot write ${to} in the guest: ${String(cause)}`, { cause });
  }
}

import { nameFiles } from "../name-files.ts";

/** What of a guest's /etc is the bottle's and not the image's. It lies over the image and is never written to its disk. */
export function etcFiles(hostname: string, directHosts: readonly string[]): Readonly<Record<string, string>> {
  // The guest's kernel has no IPv6.
  const names = nameFiles({ hostname, directHosts, ipv6: false });
  return Object.fromEntries(
    Object.entries({ hostname: `${hostname}\n`, ...names }).map(([name, text]) => [`/etc/${name}`, text]),
  );
}

/**
 * Hosts that programs without any notion of a proxy reach too (Node 20's own fetch is one): a guest's hosts file
 * can name whole hosts, so neither wildcards nor addresses are among them, nor what is the guest's own.
 */
import { isIP } from "node:net";
import type { Route } from "../contract/policy.ts";

export function directHosts(routes: readonly Pick<Route, "host">[]): readonly string[] {
  const names = routes.map(({ host }) => host);
  return [...new Set(names)].filter(
    (host) => !host.startsWith("*.") && isIP(host) === 0 && !/^(?:.*\.)?localhost$/.test(host),
  );
}

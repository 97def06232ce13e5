/** What programs in a guest know of names: its own and those that lead to its egress. There is no resolver to ask. */

export interface NamesRequest {
  readonly hostname: string;
  /** Hosts that are reached without a proxy's help; see plan/direct-hosts.ts. */
  readonly directHosts: readonly string[];
  /** Whether it has a loopback of that kind. */
  readonly ipv6: boolean;
}

/** Files below /etc, by name. */
export function nameFiles({ hostname, directHosts, ipv6 }: NamesRequest) {
  return {
    // No IPv6 for the hosts: nobody listens there.
    hosts: [
      `127.0.0.1\tlocalhost ${hostname}\n`,
      ...(ipv6 ? ["::1\tlocalhost\n"] : []),
      ...directHosts.map((host) => `127.0.0.1\t${host}\n`),
    ].join(""),
    // A look-up fails at once instead of waiting for somebody who answers.
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n",
    "resolv.conf": "# There is no DNS in a bottle; names are resolved by its egress proxy.\n",
  } as const;
}

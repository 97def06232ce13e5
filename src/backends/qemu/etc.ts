/** What of a guest's /etc is the bottle's and not the image's. It lies over the image and is never written to its disk. */
export function etcFiles(hostname: string, directHosts: readonly string[]): Readonly<Record<string, string>> {
  return {
    "/etc/hostname": `${hostname}\n`,
    // No IPv6: the guest's kernel has none.
    "/etc/hosts": [
      `127.0.0.1\tlocalhost ${hostname}\n`,
      ...directHosts.map((host) => `127.0.0.1\t${host}\n`),
    ].join(""),
    // No resolver: a look-up fails at once instead of waiting for one.
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n",
    "/etc/resolv.conf": "# There is no DNS in a bottle; names are resolved by its egress proxy.\n",
  };
}

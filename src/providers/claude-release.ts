/**
 * The one release of Claude Code that this version of bot-bottle installs, as data: the package of each
 * platform and what its bytes must hash to. A guest is a Linux with glibc on the host's processor, so a
 * Mac takes a Linux package too. docs/providers.md says how to move the pin.
 */
import { existsSync } from "node:fs";
import { UserError } from "../lib/errors.ts";
import type { PinnedPackage } from "./pinned-package.ts";

export const CLAUDE_VERSION = "2.1.197";

const SHARED = {
  product: "Claude Code",
  version: CLAUDE_VERSION,
  files: { claude: 0o755, "LICENSE.md": 0o644 },
} as const;

const PACKAGES: Readonly<Record<string, PinnedPackage>> = {
  x64: {
    ...SHARED,
    name: "@anthropic-ai/claude-code-linux-x64",
    integrity:
      "sha512-rIlKmrY0QMyHgPRX/MYWNj039vbypICvI9jVe3rs9Xy2RnNklySjyPxqh62QadznzoftEO23uYQ1tFePcQ//bg==",
    downloadBytes: 77_071_446,
    unpackedBytes: 245_517_698,
  },
  arm64: {
    ...SHARED,
    name: "@anthropic-ai/claude-code-linux-arm64",
    integrity:
      "sha512-sx6SoGj3MNR5CV+YDkNtbLHXa1tn3G8qcYFgm1gnvOi9ODQUKbhiPfankJfkTMDVekOvnKJhm6i9hGFIPzp7cQ==",
    downloadBytes: 76_574_985,
    unpackedBytes: 242_335_042,
  },
};

/** What {@link claudePackage} decides by. */
export interface HostPlatform {
  readonly os: string;
  readonly arch: string;
  /** Of a Linux host: a guest made of the host's own files has the same. */
  readonly libc: "glibc" | "musl";
}

/** @throws UserError on a host whose guests cannot run it, saying what can. */
export function claudePackage(host: HostPlatform): PinnedPackage {
  const found = PACKAGES[host.arch];
  if (found === undefined) {
    throw new UserError(`Claude Code ${CLAUDE_VERSION} has no Linux build for ${host.arch}`, {
      hint: `use a host with ${Object.keys(PACKAGES).join(" or ")}, or an agent with agent_provider: {template: command}`,
    });
  }
  if (host.os === "linux" && host.libc === "musl") {
    throw new UserError(`Claude Code ${CLAUDE_VERSION} needs glibc, and this system has musl`, {
      hint: "use a distribution with glibc (Debian, Ubuntu, Fedora, Arch), or agent_provider: {template: command}",
    });
  }
  return found;
}

/** The dynamic loader of each C library, by processor. */
const LOADERS: Readonly<Record<string, { readonly glibc: string; readonly musl: string }>> = {
  x64: { glibc: "/lib64/ld-linux-x86-64.so.2", musl: "/lib/ld-musl-x86_64.so.1" },
  arm64: { glibc: "/lib/ld-linux-aarch64.so.1", musl: "/lib/ld-musl-aarch64.so.1" },
};

/** This host. */
export function hostPlatform(): HostPlatform {
  const loaders = LOADERS[process.arch];
  // Beside glibc's, a musl loader is only an installed package.
  const musl = loaders !== undefined && existsSync(loaders.musl) && !existsSync(loaders.glibc);
  return { os: process.platform, arch: process.arch, libc: musl ? "musl" : "glibc" };
}

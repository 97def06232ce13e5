/**
 * The one release of Codex that this version of bot-bottle installs, as data: the package of each platform and what its
 * bytes must hash to. Its programs are linked statically, so any Linux of the host's processor runs them, whatever its C
 * library; a Mac takes a Linux package too. docs/providers.md says how to move the pin.
 */
import { UserError } from "../lib/errors.ts";
import type { PinnedPackage } from "./pinned-package.ts";

export const CODEX_VERSION = "0.169.0";

const SHARED = {
  product: "Codex",
  name: "@openai/codex",
  files: {
    "bin/codex": 0o755,
    // What its models call their tools from.
    "bin/codex-code-mode-host": 0o755,
    "codex-path/rg": 0o755,
    // By this it knows where its other programs are.
    "codex-package.json": 0o644,
  },
} as const;

const PACKAGES: Readonly<Record<string, PinnedPackage>> = {
  x64: {
    ...SHARED,
    version: `${CODEX_VERSION}-linux-x64`,
    folder: "vendor/x86_64-unknown-linux-musl",
    integrity:
      "sha512-o05NyAOCDygSPRo1yinzxvkRSdmsZyBD9E7mbpmjRanSfM8lypqWtQgEo4XfNkwhuCR2aFu8mlGOsQGFXVbVww==",
    downloadBytes: 167_001_509,
    unpackedBytes: 369_710_245,
  },
  arm64: {
    ...SHARED,
    version: `${CODEX_VERSION}-linux-arm64`,
    folder: "vendor/aarch64-unknown-linux-musl",
    integrity:
      "sha512-NZ/DaQUpcQmxmqee7Z9uC1rzw3GhSbooawcaTe1LN5Yk+WlinUKGdTXJgClRT/9ogQEEM9TWxYzvxPfj5G/xFg==",
    downloadBytes: 171_743_625,
    unpackedBytes: 366_595_254,
  },
};

/** @param arch of the host, as Node calls it. @throws UserError on a host whose guests cannot run it. */
export function codexPackage(arch: string): PinnedPackage {
  const found = PACKAGES[arch];
  if (found !== undefined) return found;
  throw new UserError(`Codex ${CODEX_VERSION} has no Linux build for ${arch}`, {
    hint: `use a host with ${Object.keys(PACKAGES).join(" or ")}, or an agent with agent_provider: {template: command}`,
  });
}

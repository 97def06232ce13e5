/**
 * Whether this host's processor runs guests itself. A /dev/kvm that opens and reports every capability may still be a
 * stand-in that no ordinary kernel survives; so the processor must say that it can, and then a guest must really
 * start. The answer is kept for this host, kernel, QEMU and device; a no for a day, as it may have been a busy moment's.
 */
import { createHash } from "node:crypto";
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { release, version } from "node:os";
import { join } from "node:path";
import { makePrivateDir, writeFileAtomic } from "../../lib/paths.ts";
import type { Accelerator, MachineArch } from "./machine.ts";

const DEVICE = "/dev/kvm";
const NO_IS_KEPT_MS = 24 * 60 * 60 * 1_000;

/** What might work, before anything was started. */
export function accelerationCandidate(arch: MachineArch): Exclude<Accelerator, "tcg"> | undefined {
  if (process.platform === "darwin") return "hvf";
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
  } catch {
    return undefined;
  }
  // x86: the flags of AMD's and Intel's own extensions. arm64 has none that user space sees.
  if (arch === "x64" && !/^flags\s*:.*\b(?:svm|vmx)\b/m.test(readFileSync("/proc/cpuinfo", "utf8")))
    return undefined;
  return "kvm";
}

/**
 * @param trial starts a guest with it, really, and resolves once it has said hello.
 * @returns `tcg` where nothing else works: software, slower by a factor, and as well isolated.
 */
export async function chooseAcceleration(
  request: { readonly arch: MachineArch; readonly cache: string; readonly qemuVersion: string },
  trial: (accelerator: Accelerator) => Promise<void>,
  candidate = accelerationCandidate(request.arch),
): Promise<Accelerator> {
  if (candidate === undefined) return "tcg";
  const known = knownAnswer(request);
  if (known !== undefined) return known;
  const works = await trial(candidate).then(
    () => true,
    () => false,
  );
  const answer = works ? candidate : "tcg";
  await makePrivateDir(join(request.cache, "qemu"));
  await writeFileAtomic(answerPath(request), answer);
  return answer;
}

/** Without starting anything: for what must be cheap. Undefined until it was tried. */
export function knownAnswer(request: {
  readonly arch: MachineArch;
  readonly cache: string;
  readonly qemuVersion: string;
}): Accelerator | undefined {
  const path = answerPath(request);
  try {
    const text = readFileSync(path, "utf8");
    if (text === "kvm" || text === "hvf") return text;
    return text === "tcg" && Date.now() - statSync(path).mtimeMs < NO_IS_KEPT_MS ? text : undefined;
  } catch {
    // Nobody has tried.
    return undefined;
  }
}

/** Who may use it: after a change of that a no means nothing. */
function deviceText(): string {
  try {
    const { mode, uid, gid } = statSync(DEVICE);
    return [mode, uid, gid].join();
  } catch {
    return "";
  }
}

function answerPath({
  cache,
  qemuVersion,
}: {
  readonly cache: string;
  readonly qemuVersion: string;
}): string {
  const host = createHash("sha256")
    .update([release(), version(), qemuVersion, deviceText()].join("\0"))
    .digest("hex");
  return join(cache, "qemu", `acceleration-${host.slice(0, 16)}`);
}

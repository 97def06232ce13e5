/**
 * The counter that an emulated x86 guest tells time by is this host's own, and what it counts in a second the guest cannot
 * find out: measuring it against an emulated clock hangs one boot in ten. A guest that is not told has its timer's
 * interrupts to count instead, hundreds a second from each processor, however idle, and its clock loses those that
 * come late.
 */
import { readFileSync } from "node:fs";

/**
 * Kilohertz; undefined where nobody says it. Of a host that is a machine's guest itself the kernel shows the counter's speed,
 * which is the same for good; of another one it shows what the processor runs at just now.
 */
export function counterKilohertz(cpuinfo: string = readCpuinfo()): number | undefined {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/));
  const isSteady = flags.has("hypervisor") && flags.has("constant_tsc") && !flags.has("aperfmperf");
  const megahertz = Number(/^cpu MHz\s*: (\d+\.\d+)$/m.exec(cpuinfo)?.[1]);
  return isSteady && megahertz > 0 ? Math.round(megahertz * 1_000) : undefined;
}

function readCpuinfo(): string {
  try {
    return readFileSync("/proc/cpuinfo", "latin1");
  } catch {
    return "";
  }
}

/** Every probe there is. */
import { UserError } from "../../lib/errors.ts";
import { didYouMean } from "../../lib/names.ts";
import { GROUPS, INVARIANTS, type Probe } from "../probe.ts";
import { ADDRESSES } from "./addresses.ts";
import { AFTERMATH } from "./aftermath.ts";
import { COPIES } from "./copies.ts";
import { EXFILTRATION } from "./exfiltration.ts";
import { FILES } from "./files.ts";
import { KERNEL } from "./kernel.ts";
import { NAMES } from "./names.ts";
import { OPERATOR } from "./operator.ts";
import { OWN_PARTS } from "./own-parts.ts";
import { PROTOCOLS } from "./protocols.ts";
import { PROXY } from "./proxy.ts";
import { PUSHES } from "./pushes.ts";
import { RESOURCES } from "./resources.ts";

export const PROBES: readonly Probe[] = [
  ...ADDRESSES,
  ...NAMES,
  ...PROTOCOLS,
  ...PROXY,
  ...EXFILTRATION,
  ...PUSHES,
  ...FILES,
  ...COPIES,
  ...KERNEL,
  ...OWN_PARTS,
  ...OPERATOR,
  ...RESOURCES,
  ...AFTERMATH,
];

/** @param only ids, groups and invariants; any of them. @throws UserError for one that names nothing. */
export function probesFor(only: readonly string[]): { readonly probes: readonly Probe[] } {
  const names = [...INVARIANTS, ...GROUPS, ...PROBES.map(({ id }) => id)];
  for (const name of only) {
    if ((names as readonly string[]).includes(name)) continue;
    const guess = didYouMean(name, names);
    throw new UserError(`there is no probe ${name}${guess === undefined ? "" : `; did you mean ${guess}?`}`, {
      hint: "--only takes a probe's id, a group or an invariant; bottle attack --list names them",
      exitCode: 2,
    });
  }
  const wanted = new Set(only);
  const probes = PROBES.filter(
    ({ id, group, invariant }) =>
      wanted.size === 0 || wanted.has(id) || wanted.has(group) || wanted.has(invariant),
  );
  return { probes };
}

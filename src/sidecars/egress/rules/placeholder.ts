/**
 * A placeholder that would be sent on: either to a host, path or method that its credential was not declared
 * for, or in another place than the header that egress replaces. Never a silent pass.
 */
import { type Refusal, refuse } from "../denial.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import type { Placeholders } from "../policy/placeholders.ts";
import type { Target } from "../target/target.ts";
import type { RequestHead } from "./head.ts";

export function misusedPlaceholder(
  placeholders: Placeholders,
  { host, path }: Target,
  head: RequestHead,
  route: CompiledRoute,
): Refusal | undefined {
  const carries =
    placeholders.isIn(host) ||
    placeholders.isIn(path) ||
    head.names.some(
      (name, i) => name !== "" && !route.stripped.has(name) && placeholders.isIn(head.raw[2 * i + 1] ?? ""),
    );
  if (!carries) return undefined;
  return refuse(
    "placeholder-misused",
    "the request carries a placeholder, which stands for a credential that is not for this request or not in this place",
    route.credential.length === 0
      ? `route ${route.host}: no credential is put in its place here`
      : `route ${route.host}: a credential is put into ${route.credential.join(", ")} and nowhere else`,
  );
}

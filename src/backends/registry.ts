/** The backends there are, and which one a bottle gets. */
import type { Availability, Backend, CachedPart } from "../contract/backend.ts";
import {
  BACKEND_NAMES,
  type BackendName,
  type BundlePlacement,
  ISOLATION_LEVELS,
  type IsolationLevel,
} from "../contract/isolation.ts";
import { UserError } from "../lib/errors.ts";
import { didYouMean } from "../lib/names.ts";

/** Each is much to load: whoever wants one pays for no other. */
const BACKENDS: Readonly<Record<BackendName, () => Promise<Backend>>> = {
  namespace: async () => (await import("./namespace/backend.ts")).namespaceBackend,
  qemu: async () => (await import("./qemu/backend.ts")).qemuBackend,
  smolmachines: async () => (await import("./smolmachines/backend.ts")).smolmachinesBackend,
  docker: async () => (await import("./docker/backend.ts")).dockerBackend,
};

export function allBackends(): Promise<readonly Backend[]> {
  return Promise.all(BACKEND_NAMES.map((name) => BACKENDS[name]()));
}

/** @throws UserError with the names there are, for one that does not exist. */
export async function backendNamed(name: string): Promise<Backend> {
  const found = BACKEND_NAMES.find((candidate) => candidate === name);
  if (found !== undefined) return BACKENDS[found]();
  const guess = didYouMean(name, BACKEND_NAMES);
  throw new UserError(`there is no backend ${name}${guess === undefined ? "" : `; did you mean ${guess}?`}`, {
    hint: `use one of: ${BACKEND_NAMES.join(", ")}`,
  });
}

/** What backends keep in the cache besides images. @param wanted words for images that somebody wants, where known. */
export async function cachedParts(wanted?: ReadonlySet<string>): Promise<readonly CachedPart[]> {
  const parts = (await allBackends()).map(async (backend) => (await backend.cachedParts?.(wanted)) ?? []);
  return (await Promise.all(parts)).flat();
}

/** Where a bottle's sidecars run. @throws UserError when the backend cannot have them where they are wanted. */
export async function placementOf(
  { name, sidecarsIn = ["process"] }: Pick<Backend, "name" | "sidecarsIn">,
  wanted: BundlePlacement = sidecarsIn[0],
): Promise<BundlePlacement> {
  if (sidecarsIn.includes(wanted)) return wanted;
  const takers = (await allBackends()).filter((backend) =>
    (backend.sidecarsIn ?? ["process"]).includes(wanted),
  );
  throw new UserError(
    `the bottle wants its bundle in a ${wanted}, and ${name} has it in a ${sidecarsIn[0]}`,
    { hint: `take bundle out of the bottle, or use ${flagFor(takers)}` },
  );
}

export interface Choice {
  readonly backend: Backend;
  readonly availability: Extract<Availability, { usable: true }>;
  /** For the preflight: "asked for by --backend", "the strongest available". */
  readonly why: string;
}

/**
 * `--backend`, else `$BOT_BOTTLE_BACKEND`, else the manifest's, else the strongest that this host can run.
 * @throws UserError when the one asked for is not usable (with its remedies), none is, it is weaker than
 *   `minimum` (I7: less is refused, never taken instead), or it has not what the bottle wishes for.
 */
export async function chooseBackend(request: {
  readonly flag?: string | undefined;
  readonly environment?: string | undefined;
  readonly manifest?: BackendName | undefined;
  readonly minimum?: IsolationLevel | undefined;
  /** What not every backend's guests can have. */
  readonly wishes?: readonly Wish[];
}): Promise<Choice> {
  const asked = [
    { name: request.flag, why: "asked for by --backend" },
    { name: request.environment, why: "asked for by BOT_BOTTLE_BACKEND" },
    { name: request.manifest, why: "asked for by the bottle" },
  ].find(({ name }) => name !== undefined && name !== "");
  const named = asked?.name === undefined ? await allBackends() : [await backendNamed(asked.name)];
  let candidates = named;
  for (const wish of request.wishes ?? []) candidates = await withWish(candidates, wish);
  const probed = await Promise.all(
    candidates.map(async (backend) => ({ backend, availability: await backend.probe() })),
  );
  const usable = probed.flatMap(({ backend, availability }) =>
    availability.usable ? [{ backend, availability, why: asked?.why ?? "the strongest available" }] : [],
  );
  const { minimum } = request;
  const best = usable.sort((a, b) => rank(b, minimum) - rank(a, minimum))[0];
  if (best === undefined) {
    const lacks = probed.flatMap(({ backend, availability }) =>
      availability.lacks.map(({ what, remedy }) => `${backend.name} lacks ${what}: ${remedy}`),
    );
    const unfit = named.filter((backend) => !candidates.includes(backend)).map(({ name }) => name);
    const wished = unfit.length === 0 ? "" : ` with ${request.wishes?.map(({ what }) => what).join(" and ")}`;
    const [only] = asked === undefined ? [] : named;
    const who =
      only === undefined
        ? `no backend can run a bottle${wished} here`
        : `${only.name} cannot run a bottle here`;
    const why = [
      ...(asked === undefined ? [] : [asked.why]),
      ...(unfit.length === 0 ? [] : [`${unfit.join(" and ")} cannot have that`]),
      ...lacks,
    ];
    throw new UserError([who, ...why].join("\n  "), { hint: "bottle doctor" });
  }
  if (minimum !== undefined && strength(best.availability.isolation) < strength(minimum)) {
    throw new UserError(
      `the bottle asks for isolation ${minimum}, and ${best.backend.name} gives ${best.availability.isolation}`,
      { hint: "use a host or a backend that gives it; bottle doctor lists what is missing" },
    );
  }
  return best;
}

export interface Wish {
  /** For people: "the image …", "resources.disk". */
  readonly what: string;
  readonly kind: "takesImages" | "sizesDisks";
}

const WITHOUT: Readonly<Record<Wish["kind"], string>> = {
  takesImages: "whose guests are made of no image",
  sizesDisks: "whose guests have no disk of their own",
};

/** Above all that it is enough; then that it is not slow; then how strong it is. */
function rank({ availability }: Choice, minimum: IsolationLevel | undefined): number {
  const level = strength(availability.isolation);
  const enough = minimum === undefined || level >= strength(minimum);
  return (
    (enough ? 4 : 0) * ISOLATION_LEVELS.length +
    (availability.emulated ? 0 : 2) * ISOLATION_LEVELS.length +
    level
  );
}

function strength(level: IsolationLevel): number {
  return ISOLATION_LEVELS.indexOf(level);
}

async function withWish(candidates: readonly Backend[], { what, kind }: Wish): Promise<readonly Backend[]> {
  const fitting = candidates.filter((backend) => backend[kind]);
  if (fitting.length > 0) return fitting;
  const takers = (await allBackends()).filter((backend) => backend[kind]);
  const names = candidates.map(({ name }) => name).join(" and ");
  throw new UserError(`${what} is not for the backend ${names}, ${WITHOUT[kind]}`, {
    hint: `take it out of the bottle${takers.length === 0 ? "" : `, or use ${flagFor(takers)}`}`,
  });
}

function flagFor(backends: readonly Backend[]): string {
  return `--backend ${backends.map(({ name }) => name).join(" or ")}`;
}

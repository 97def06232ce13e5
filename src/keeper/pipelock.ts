/**
 * The pipelock of a bottle that has one: the second hop, between egress and the world. Its CA is minted for this life of
 * the bottle; its key goes to its sidecar's stdin, its certificate to egress, which believes nobody else (I2, I7).
 */
import { join } from "node:path";
import type { SidecarRequest } from "../bundle/bundle.ts";
import type { CertificateAuthority } from "../bundle/certificate-authority.ts";
import type { PolicyMaterial } from "../bundle/egress-settings.ts";
import { type HostPlaces, placeAt } from "../bundle/host-place.ts";
import { broughtPipelock, PIPELOCK_INSIDE, pipelockPort, thePipelock } from "../bundle/pipelock-program.ts";
import type { Link, SidecarHome } from "../contract/backend.ts";
import type { PipelockConfig, PipelockPolicy } from "../contract/pipelock.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";
import { recordNotice } from "./bottle-log.ts";
import type { Reservation } from "./reservation.ts";

/** In its sidecar's own /tmp, which is in memory. */
const FOLDER = "/tmp/pipelock";
/** Its configuration and what it keeps there. */
const TMP_BYTES = 64 * 1024 * 1024;

export interface PipelockPlace {
  /** On the host; undefined: whatever the bundle's image has. */
  readonly program: string | undefined;
  readonly port: number;
  readonly authority: CertificateAuthority;
}

/** Before anything starts. @throws UserError where no pipelock is to be had. */
export async function placePipelock(contained: boolean): Promise<Omit<PipelockPlace, "authority">> {
  // Without it, the backend has made sure that the image has one.
  const program = contained ? broughtPipelock() : thePipelock();
  return { program, port: await pipelockPort(contained) };
}

/** What the bundle's container needs of the host for it. */
export function pipelockMounts(place: Pick<PipelockPlace, "program"> | undefined): SidecarHome["mounts"] {
  return place?.program === undefined ? [] : [{ from: place.program, to: PIPELOCK_INSIDE }];
}

/** As egress is told of it. */
export function pipelockHop(
  { port, authority }: PipelockPlace,
  { sealed }: PipelockPolicy,
): NonNullable<PolicyMaterial["pipelock"]> {
  return { port, authority: authority.certificate, sealed };
}

export function pipelockRequest(
  { program, port, authority }: PipelockPlace,
  parts: {
    readonly reservation: Reservation;
    readonly linking: Promise<Link>;
    readonly upstreamCa: readonly string[];
    readonly policy: () => PipelockPolicy;
    readonly places: HostPlaces;
  },
  scope: Scope,
): SidecarRequest {
  const { id, paths, log } = parts.reservation;
  const { policy, upstreamCa, places } = parts;
  // Without a /tmp of its own.
  const folder = places === "plain" ? join(paths.runtime, "pipelock") : FOLDER;
  const rootDir = join(paths.state, "pipelock-root");
  scope.defer("pipelock root", () => removeTree(rootDir));
  const binds = program === undefined ? [] : [{ from: program, to: PIPELOCK_INSIDE }];
  return {
    name: "pipelock",
    id,
    place: placeAt(places, rootDir, { binds, startsPrograms: true, tmpBytes: TMP_BYTES }),
    endpoint: endpointOf(port, places === "container" ? parts.linking : undefined),
    config: async (): Promise<PipelockConfig> => ({
      program: places === "plain" && program !== undefined ? program : insideOf(program),
      folder,
      port,
      ca: { certificate: authority.certificate, privateKey: authority.privateKey },
      upstreamCa: [...upstreamCa],
      policy: policy(),
    }),
    policy,
    onNotice: (notice) => recordNotice(log, "pipelock", notice),
  };
}

function insideOf(program: string | undefined): string {
  return program === undefined ? "pipelock" : PIPELOCK_INSIDE;
}

/** Only egress dials it, so it needs nothing of the link but, where that has one, the container. */
async function endpointOf(
  port: number,
  linking: Promise<Link> | undefined,
): Promise<Awaited<SidecarRequest["endpoint"]>> {
  const place = { kind: "tcp" as const, host: "127.0.0.1", port };
  const guestUrl = `http://${place.host}:${port}`;
  if (linking === undefined) return { listen: place, guestUrl };
  const { startContained } = await linking;
  if (startContained === undefined) throw new Error("the link has no container for pipelock");
  const start = () => startContained("pipelock");
  return { listen: { kind: "contained", places: { main: place }, start }, guestUrl };
}

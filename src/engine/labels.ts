/** What every resource of a bottle's bears in an engine, so that it can be found without any memory of it. */
import { homeMark } from "../lib/paths.ts";

/** Its value is the bottle's id. */
const BOTTLE_LABEL = "bot-bottle.id";
/** Its value tells from whose home the bottle was started: an engine may serve several. */
export const HOME_LABEL = "bot-bottle.home";

export function bottleLabels(id: string): Readonly<Record<string, string>> {
  return { [BOTTLE_LABEL]: id, [HOME_LABEL]: homeMark() };
}

/** For a search: what was made from this home. */
export function ownLabel(): string {
  return `${HOME_LABEL}=${homeMark()}`;
}

/** Of a thing's labels as docker (`a=b,c=d`) or podman (`map[a:b c:d]`) writes them all. */
export function bearsOwnLabel(labels: string): boolean {
  return labels.split(/[\s,[\]]/).some((label) => label.replace(":", "=") === ownLabel());
}

/**
 * A bottle's file with one grant written into it. It says nothing of whether that means what was granted: heirs, presets
 * and providers have a say in it, so whoever uses it loads the result and compares.
 */
import { isMap, isSeq, type YAMLMap } from "yaml";
import type { Ask } from "../contract/approvals.ts";
import { BOTTLE_ID } from "../contract/repository.ts";
import { accept, type Parsed, reject } from "../lib/parsed.ts";
import { splitFrontMatter } from "./front-matter.ts";
import { type Insertable, nodeAt, openYaml, withItem, withPair, withTopPair } from "./yaml-insert.ts";

/** @param bottle whose id stands for every bottle's in a ref. */
export function textWithGrant(text: string, ask: Ask, bottle: string): Parsed<string> {
  const split = splitFrontMatter(text);
  if (!split.ok) return reject(split.message);
  const start = text.indexOf("\n") + 1;
  const yaml = openYaml(split.yaml);
  if (yaml.document.errors.length > 0) return reject("is not valid YAML");
  const written = yamlWithGrant(yaml, ask, bottle);
  if (!written.ok) return written;
  const end = written.value.endsWith("\n") ? "" : "\n";
  return accept(text.slice(0, start) + written.value + end + text.slice(start + split.yaml.length));
}

function yamlWithGrant(yaml: Insertable, ask: Ask, bottle: string): Parsed<string> {
  switch (ask.kind) {
    case "host":
      return done(withHost(yaml, ask));
    case "repository":
      return withRefs(yaml, ask, bottle);
    case "environment":
      return reject(
        "cannot know where a variable or file comes from: write it there, then bottle resume --with manifest",
      );
    case "finding":
      return reject(NO_VALUES);
    case "git-exception":
      return ask.code === "secret-found" ? reject(NO_VALUES) : done(withException(yaml, ask, bottle));
  }
}

const NO_VALUES =
  "cannot name a value that was found: the key of its mark ends with the bottle, and nothing that lasts could know it again";

function done(text: string | undefined): Parsed<string> {
  return text === undefined ? reject("is written in a way that cannot be added to") : accept(text);
}

function withHost(yaml: Insertable, ask: Extract<Ask, { kind: "host" }>): string | undefined {
  const anywhere = { type: "prefix", value: "/" };
  const { host, methods } = ask;
  const paths = ask.paths.length > 0 ? ask.paths : [anywhere];
  const match = { paths, ...(methods.length > 0 && { methods }) };
  const routes = nodeAt(yaml, ["egress", "routes"]);
  if (!isSeq(routes)) {
    const added = [{ host, matches: [match] }];
    const egress = nodeAt(yaml, ["egress"]);
    return isMap(egress)
      ? withPair(yaml, egress, "routes", added)
      : withTopPair(yaml, "egress", { routes: added });
  }
  const own = routes.items.find((item) => hostOf(item) === host);
  if (own === undefined) {
    // A route for a name hides the wildcard's above it, so what that one allows comes along.
    const above = aboveOf(host, routes.items);
    const { matches = [], ...model } = above === undefined ? {} : (above.toJSON() as { matches?: unknown[] });
    return withItem(yaml, routes, { ...model, host, matches: [...matches, match] });
  }
  const matches = isMap(own) ? own.get("matches", true) : undefined;
  return isSeq(matches) ? withItem(yaml, matches, match) : undefined;
}

function hostOf(item: unknown): string | undefined {
  const host: unknown = isMap(item) ? item.get("host") : undefined;
  return typeof host === "string" ? host.toLowerCase() : undefined;
}

function aboveOf(host: string, items: readonly unknown[]): YAMLMap | undefined {
  for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
    const above = items.find((item) => hostOf(item) === `*${host.slice(dot)}`);
    if (isMap(above)) return above;
  }
  return undefined;
}

function withException(
  yaml: Insertable,
  { repo, code, subjects }: Extract<Ask, { kind: "git-exception" }>,
  bottle: string,
): string | undefined {
  const path = ["git-gate", "repos", repo];
  const entry = nodeAt(yaml, path);
  if (!isMap(entry)) return undefined;
  const lasting = (subject: string): string =>
    code === "ref-not-allowed" ? subject.replaceAll(bottle, BOTTLE_ID) : subject;
  const exception = { code, subjects: subjects.map(lasting) };
  const list = nodeAt(yaml, [...path, "exceptions"]);
  return isSeq(list) ? withItem(yaml, list, exception) : withPair(yaml, entry, "exceptions", [exception]);
}

function withRefs(
  yaml: Insertable,
  { repo, refs, force, delete: remove }: Extract<Ask, { kind: "repository" }>,
  bottle: string,
): Parsed<string> {
  const added = refs.map((ref) => {
    const pattern = ref.replaceAll(bottle, BOTTLE_ID);
    return force || remove
      ? { ref: pattern, ...(force && { force }), ...(remove && { delete: remove }) }
      : pattern;
  });
  const path = ["git-gate", "repos", repo];
  const entry = nodeAt(yaml, path);
  if (!isMap(entry)) return reject(`does not name the repository ${repo}`);
  if (!isSeq(nodeAt(yaml, [...path, "refs"]))) {
    return done(withPair(yaml, entry, "refs", [`refs/heads/bottle/${BOTTLE_ID}/*`, ...added]));
  }
  let { text } = yaml;
  for (const ref of added) {
    const open = openYaml(text);
    const list = nodeAt(open, [...path, "refs"]);
    const next = isSeq(list) ? withItem(open, list, ref) : undefined;
    if (next === undefined) return done(undefined);
    text = next;
  }
  return accept(text);
}

/** The stand-ins that `bottle demo` ships with serve the tests too. */
export * from "../../demo/upstreams/messages-api.ts";
export * from "../../demo/upstreams/plain-site.ts";
export { LAST_WORDS, type ScriptedTurn } from "../../demo/upstreams/script.ts";
export type { Upstream } from "../../demo/upstreams/tls-upstream.ts";

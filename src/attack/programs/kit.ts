/**
 * What probes in Node have at hand, inside of a guest and outside alike: each function tries one thing, says what came
 * of it in one line, and ends the program. Built to one file that needs nothing, because that is what a guest has.
 */
export { judgeHttp } from "../kit/answer.ts";
export { gate, git, must } from "../kit/git.ts";
export { judgeAnswer } from "../kit/http.ts";
export { mcp, mcpTools } from "../kit/mcp.ts";
export { curl, proxy, raw, tunnel } from "../kit/proxy.ts";
export { first, hear, hearUdp, hearUnix, question, tryTcp, tryUdp, tryUnix } from "../kit/reach.ts";
export { attempt, cannot, env, got, refused, scratch } from "../kit/verdict.ts";

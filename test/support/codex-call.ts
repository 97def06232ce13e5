/** How a model asks Codex to run things: a text of JavaScript, in which each of its tools is a function. */
import type { ResponsesTurn } from "../doubles/responses-api.ts";

/** A call of one tool, whose result is what the model sees. */
export function codexCall(tool: string, input: object): ResponsesTurn {
  return { tool: "exec", input: `text(JSON.stringify(await tools.${tool}(${JSON.stringify(input)})));` };
}

/** A command in a shell. */
export function shellCall(cmd: string): ResponsesTurn {
  return codexCall("exec_command", { cmd });
}

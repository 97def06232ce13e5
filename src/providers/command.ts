/** Any program as the agent: the argv of the manifest, no credential, no route of its own. */
import type { Provider, ProviderRequest } from "../contract/provider.ts";
import { UserError } from "../lib/errors.ts";
import { PROMPT_PATH, promptFiles, taskArgument } from "./prompt-file.ts";

/** Where the program finds the agent's standing instructions; unset when there are none. */
const PROMPT_VARIABLE = "BOT_BOTTLE_PROMPT_FILE";

function commandOf(request: ProviderRequest): readonly [string, ...string[]] {
  const [program, ...args] = request.command ?? [];
  if (program === undefined || program === "") {
    throw new UserError("agent_provider.command is missing: with template: command, it is what runs", {
      hint: 'write the program and its arguments as a list: agent_provider: {template: command, command: ["bash", "-c", "make test"]}',
    });
  }
  return [program, ...args];
}

export const command: Provider = {
  name: "command",
  routes: [],
  credentials: [],
  credentialHosts: [],
  setup(request) {
    const argv = commandOf(request);
    const files = promptFiles(request.prompt);
    return {
      argv: request.task === undefined ? argv : [...argv, taskArgument(request.task)],
      env: files.length === 0 ? {} : { [PROMPT_VARIABLE]: PROMPT_PATH },
      files,
    };
  },
  async install() {
    return [];
  },
};

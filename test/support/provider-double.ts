/** Providers as plain values, for what plans are made of. They install nothing. */
import type { Provider } from "../../src/contract/provider.ts";

/** Two ways to authenticate at one host, of which the first is preferred. */
export const talker: Provider = {
  name: "talker",
  routes: [
    {
      host: "model.example.com",
      matches: [{ methods: ["POST"], paths: [{ type: "exact", value: "/v1/messages" }] }],
      credentialHeaders: ["x-session"],
      tls: "terminate",
      allowAddresses: [],
    },
    { host: "status.example.com", matches: [], credentialHeaders: [], tls: "terminate", allowAddresses: [] },
  ],
  credentials: [
    {
      tokenRef: "TALKER_LOGIN",
      header: "authorization",
      format: "Bearer {}",
      placeholder: { TALKER_LOGIN: "placeholder" },
      howToGet: "run talker login",
    },
    {
      tokenRef: "TALKER_KEY",
      header: "x-api-key",
      format: "{}",
      placeholder: { TALKER_API_KEY: "placeholder" },
      howToGet: "buy a key",
    },
  ],
  credentialHosts: ["model.example.com"],
  setup: ({ prompt, task }) => ({
    argv: ["talker", ...(task === undefined ? [] : ["--task", task])],
    resumeArgv: ["talker", "--continue"],
    env: { TALKER_TELEMETRY: "off" },
    files: prompt === "" ? [] : [{ path: "/home/node/prompt.txt", content: prompt, mode: 0o600 }],
  }),
  install: async () => [],
};

/** Runs a command and needs nothing. */
export const runner: Provider = {
  name: "runner",
  routes: [],
  credentials: [],
  credentialHosts: [],
  setup: ({ command }) => ({
    argv: [command?.[0] ?? "true", ...(command ?? []).slice(1)],
    env: {},
    files: [],
  }),
  install: async () => [],
};

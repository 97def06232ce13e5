/**
 * Which of the operator's settings of Claude Code may come along, as data. An allow-list, because each release has
 * new ones: taste, language and model. What starts a program of the host's, holds or fetches a credential, or says
 * what the agent may do stays away, and these say why; found in the schema of the pinned release.
 */

export const OWN_SETTINGS: readonly string[] = [
  "alwaysThinkingEnabled",
  "attribution",
  "autoCompactEnabled",
  "autoCompactWindow",
  "autoMemoryEnabled",
  "cleanupPeriodDays",
  "defaultShell",
  "disableBundledSkills",
  "disableWorkflows",
  "disabledMcpjsonServers",
  "editorMode",
  "effortLevel",
  "fallbackModel",
  "fastMode",
  "fileCheckpointingEnabled",
  "includeCoAuthoredBy",
  "includeGitInstructions",
  "language",
  "model",
  "outputStyle",
  "prefersReducedMotion",
  "promptSuggestionEnabled",
  "respectGitignore",
  "respondToBashCommands",
  "showThinkingSummaries",
  "showTurnDuration",
  "skillListingBudgetFraction",
  "skillListingMaxDescChars",
  "skillOverrides",
  "spinnerTipsEnabled",
  "spinnerTipsOverride",
  "spinnerVerbs",
  "theme",
  "todoFeatureEnabled",
  "verbose",
  "viewMode",
];

const HELPER = "it starts a program of your host for a credential: egress presents those";
const PROGRAM =
  "it starts a program of your host, which the bottle has not; a skill brings its programs along";
const MARKETPLACE =
  "it fetches code from places that the bottle does not reach; name what you need in skills";
const LIMITS = "what the agent may do is for the bottle to say, and there it may do everything else";

/** Those that somebody is likely to name, and why not. */
export const REFUSED_SETTINGS: Readonly<Record<string, string>> = {
  apiKeyHelper: HELPER,
  awsAuthRefresh: HELPER,
  awsCredentialExport: HELPER,
  gcpAuthRefresh: HELPER,
  otelHeadersHelper: HELPER,
  proxyAuthHelper: HELPER,
  fileSuggestion: PROGRAM,
  hooks: PROGRAM,
  statusLine: PROGRAM,
  subagentStatusLine: PROGRAM,
  enabledPlugins: MARKETPLACE,
  extraKnownMarketplaces: MARKETPLACE,
  additionalDirectories: LIMITS,
  permissions: LIMITS,
  sandbox: LIMITS,
  env: "its values would come in unseen: write them into env of the bottle, which is shown",
  mcpServers: "servers are named in user_config.mcp_servers",
  disableDeepLinkRegistration: "the bottle sets it",
  skipDangerousModePermissionPrompt: "the bottle sets it",
  skipWebFetchPreflight: "the bottle sets it",
};

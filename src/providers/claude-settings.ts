/**
 * Everything Claude Code would ask, answered before it starts; found by running the pinned release with
 * each answer left out (docs/providers.md). The bottle is the sandbox, so inside it the answer is yes.
 */
import { GUEST } from "../contract/backend.ts";
import type { PlannedFile } from "../contract/plan.ts";

/** How much of a key's end the dialog about an unknown API key remembers. */
const REMEMBERED_KEY_CHARACTERS = 20;

/** Trusts the folder, its CLAUDE.md and what that imports. */
const TRUSTED_FOLDER = {
  hasTrustDialogAccepted: true,
  hasClaudeMdExternalIncludesApproved: true,
  hasClaudeMdExternalIncludesWarningShown: true,
} as const;

/** State of the product itself; it rewrites this file as it runs. */
function stateFile(apiKey: string): PlannedFile {
  const state = {
    hasCompletedOnboarding: true,
    customApiKeyResponses: { approved: [apiKey.slice(-REMEMBERED_KEY_CHARACTERS)], rejected: [] },
    // Both, because trust is looked up by the very folder that a session starts in.
    projects: { [GUEST.home]: TRUSTED_FOLDER, [GUEST.workspace]: TRUSTED_FOLDER },
  };
  return { path: `${GUEST.home}/.claude.json`, content: json(state), mode: 0o600 };
}

const SETTINGS = {
  skipDangerousModePermissionPrompt: true,
  // It would tell a third party each host before fetching from it; here egress decides on hosts.
  skipWebFetchPreflight: true,
  disableDeepLinkRegistration: "disable",
} as const;

/**
 * @param apiKey the placeholder that stands for one in the guest.
 * @param own settings of the operator's; ours count more.
 */
export function claudeFiles(
  apiKey: string,
  own: Readonly<Record<string, unknown>> = {},
): readonly PlannedFile[] {
  const settings: PlannedFile = {
    path: `${GUEST.home}/.claude/settings.json`,
    content: json({ ...own, ...SETTINGS }),
    mode: 0o600,
  };
  return [stateFile(apiKey), settings];
}

export const CLAUDE_ENV: Readonly<Record<string, string>> = {
  // Hosts it could not reach anyway: reports, updates, the plugin marketplace.
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL: "1",
  DISABLE_TELEMETRY: "1",
  DISABLE_ERROR_REPORTING: "1",
  DISABLE_AUTOUPDATER: "1",
  // It looks for itself in ~/.local/bin and warns in every session; it is mounted elsewhere.
  DISABLE_INSTALLATION_CHECKS: "1",
  // No editor is in the guest, and a terminal's title is the operator's.
  CLAUDE_CODE_IDE_SKIP_AUTO_INSTALL: "1",
  CLAUDE_CODE_DISABLE_TERMINAL_TITLE: "1",
};

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

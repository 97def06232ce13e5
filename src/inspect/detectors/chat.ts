import { isDiscordToken, isSlackWebhook } from "../checks/chat-values.ts";
import { looksRandom } from "../checks/randomness.ts";
import type { Detector } from "../detector.ts";
import { assignedTo, nameOf, UUID } from "./patterns.ts";

/** Tokens and webhooks of chat, telephony and mail services. */
export const CHAT: readonly Detector[] = [
  {
    id: "slack-token",
    title: "Slack bot, user, workspace or browser token",
    group: "chat",
    trigger: {
      kind: "keyword",
      keywords: ["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxc-"],
    },
    pattern: "xox[abcoprs]-(?:\\d{1,2}-)?(?:\\d{8,14}-){1,3}[A-Za-z0-9]{18,64}",
    minEntropy: 3,
    source: "https://docs.slack.dev/authentication/tokens",
  },
  {
    id: "slack-app-token",
    title: "Slack app-level token",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["xapp-"] },
    pattern: "xapp-\\d-[A-Z0-9]{9,14}-\\d{10,14}-[0-9a-f]{64}",
    minEntropy: 3,
    source: "https://docs.slack.dev/authentication/tokens#app-level",
  },
  {
    id: "slack-rotating-token",
    title: "Slack rotating, refresh or configuration token",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["xoxe-", "xoxe."] },
    pattern: "xoxe(?:-|\\.xox[bp]-)\\d-[A-Za-z0-9]{140,250}",
    minEntropy: 4,
    source: "https://docs.slack.dev/authentication/using-token-rotation",
  },
  {
    id: "slack-webhook",
    title: "Slack incoming webhook",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["hooks.slack.com/"] },
    pattern:
      "hooks\\.slack\\.com/(?:services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}" +
      "|(?:workflows|triggers)/[TE][A-Z0-9]{8,12}/[A-Z0-9]{8,20}/[A-Za-z0-9/]{20,60})",
    check: isSlackWebhook,
    source: "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
  },
  {
    id: "discord-bot-token",
    title: "Discord bot token",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["discord", "bot_token", "bot m", "bot n", "bot o"] },
    pattern:
      `(?:${nameOf("discord|bot_token")}(?:Bot\\s)?|Bot\\s)` +
      "(?<secret>[MNO][A-Za-z0-9_-]{22,27}\\.[A-Za-z0-9_-]{6,7}\\.[A-Za-z0-9_-]{27,40})",
    ignoreCase: true,
    check: isDiscordToken,
    source: "https://discord.com/developers/docs/reference#authentication",
  },
  {
    id: "discord-webhook",
    title: "Discord webhook",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["/api/webhooks/"], before: 24 },
    pattern: "discord(?:app)?\\.com/api/webhooks/\\d{17,20}/[A-Za-z0-9_-]{60,72}",
    minEntropy: 4,
    source: "https://discord.com/developers/docs/resources/webhook#execute-webhook",
  },
  {
    id: "telegram-bot-token",
    title: "Telegram bot token",
    group: "chat",
    trigger: { kind: "keyword", keywords: [":AA"], before: 10 },
    pattern: "(?<![A-Za-z0-9])\\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])",
    minEntropy: 4,
    source: "https://core.telegram.org/bots/api#authorizing-your-bot",
  },
  {
    id: "teams-webhook",
    title: "Microsoft Teams incoming webhook",
    group: "chat",
    trigger: { kind: "keyword", keywords: [".webhook.office.com/webhookb2/"], before: 63 },
    pattern:
      `[a-z0-9-]{1,63}\\.webhook\\.office\\.com/webhookb2/${UUID}@${UUID}/IncomingWebhook/[0-9a-z]{32}/${UUID}` +
      "(?:/[A-Za-z0-9_-]{20,80})?",
    minEntropy: 3,
    source:
      "https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook",
  },
  {
    id: "power-automate-webhook",
    title: "Power Automate or Logic Apps trigger URL",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["/triggers/manual/paths/invoke"] },
    pattern: String.raw`/triggers/manual/paths/invoke[A-Za-z0-9/_.-]{0,100}\?(?:[A-Za-z-]{1,20}=[A-Za-z0-9%/._-]{0,80}&(?:amp;)?){1,6}sig=(?<secret>[A-Za-z0-9_-]{43})`,
    minEntropy: 4,
    source: "https://learn.microsoft.com/en-us/azure/logic-apps/logic-apps-securing-a-logic-app",
  },
  {
    id: "twilio-secret",
    title: "Twilio auth token or API key secret",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["twilio"] },
    pattern: assignedTo("twilio", "[0-9A-Za-z]{32}(?![A-Za-z0-9_-])"),
    ignoreCase: true,
    check: looksRandom,
    source: "https://www.twilio.com/docs/iam/api-keys",
  },
  {
    id: "sendgrid-api-key",
    title: "SendGrid API key",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["SG."] },
    pattern: "SG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}",
    minEntropy: 4,
    source: "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
  },
  {
    id: "mailgun-key",
    title: "Mailgun API or signing key",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["mailgun"] },
    pattern: assignedTo(
      "mailgun",
      "(?:key-[0-9a-f]{32}|[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}|[0-9a-f]{32})(?![A-Za-z0-9_-])",
    ),
    ignoreCase: true,
    check: looksRandom,
    source: "https://documentation.mailgun.com/docs/mailgun/user-manual/api-key-mgmt/rbac-mgmt",
  },
  {
    id: "mailchimp-key",
    title: "Mailchimp or Mandrill API key",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["-us"], before: 32 },
    pattern: "(?<![0-9A-Za-z])[0-9a-f]{32}-us\\d{1,2}(?![0-9A-Za-z_-])",
    minEntropy: 3,
    source: "https://mailchimp.com/developer/marketing/guides/quick-start/",
  },
  {
    id: "brevo-key",
    title: "Brevo API or SMTP key",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["xkeysib-", "xsmtpsib-"] },
    pattern: "x(?:key|smtp)sib-[0-9a-f]{64}-[A-Za-z0-9]{16}",
    minEntropy: 3,
    source: "https://developers.brevo.com/docs/getting-started",
  },
  {
    id: "resend-key",
    title: "Resend API key",
    group: "chat",
    trigger: { kind: "keyword", keywords: ["re_"] },
    pattern: "(?<![A-Za-z0-9_])re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}(?![A-Za-z0-9_])",
    check: looksRandom,
    source: "https://resend.com/docs/api-reference/introduction",
  },
];

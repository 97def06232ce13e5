import { blanked, draw, uuid } from "./draw.ts";
import { known, named, type SecretExample } from "./example.ts";

const SLACK = "https://docs.slack.dev/authentication/tokens";
const DISCORD_ID = Buffer.from(`1${draw("digits", 17)}`).toString("base64url");
const ZERO = "00000000-0000-0000-0000-000000000000";
const WEBHOOK = ["hooks", "slack", "com"].join(".");

export const CHAT_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "slack-token": known(
    SLACK,
    [
      ["xoxb", draw("digits", 12), draw("digits", 13), draw("alnum", 24)].join("-"),
      ["xoxp", draw("digits", 12), draw("digits", 12), draw("digits", 13), draw("hex", 32)].join("-"),
      ["xoxc", draw("digits", 12), draw("digits", 12), draw("digits", 13), draw("hex", 64)].join("-"),
    ],
    [
      "xoxb-your-token",
      "xoxp-12345-67890-1928471-abcdefg",
      "xoxb-000000000000-000000000000-000000000000000000000000",
    ],
  ),
  "slack-app-token": known(
    SLACK,
    [["xapp", "1", `A${draw("upper", 10)}`, draw("digits", 13), draw("hex", 64)].join("-")],
    [
      "xapp-1-A0000-000-xxxx",
      ["xapp", "1", `A${draw("upper", 10)}`, draw("digits", 13), draw("hex", 40)].join("-"),
    ],
  ),
  "slack-rotating-token": known(
    "https://docs.slack.dev/authentication/using-token-rotation",
    [`xoxe-1-${draw("alnum", 146)}`, `xoxe.xoxp-1-${draw("alnum", 163)}`],
    ["xoxe-1-abcdefg", blanked("xoxe-1-", 146)],
  ),
  "slack-webhook": known(
    "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    [`${WEBHOOK}/services/T${draw("upper", 10)}/B${draw("upper", 10)}/${draw("alnum", 24)}`],
    [
      `https://${WEBHOOK}/services/T00000000/B00000000/${"X".repeat(24)}`,
      `https://${WEBHOOK}/services/T0/B0/abc`,
    ],
  ),
  "discord-bot-token": {
    page: "https://discord.com/developers/docs/topics/oauth2#bots",
    secrets: [
      `${DISCORD_ID}.${draw("url", 6)}.${draw("alnum", 27)}`,
      `${DISCORD_ID}.${draw("url", 6)}.${draw("alnum", 38)}`,
    ],
    carriers: [(secret) => `DISCORD_TOKEN=${secret}\n`, (secret) => `Authorization: Bot ${secret}\r\n`],
    nearMisses: [
      `DISCORD_TOKEN=M${draw("alnum", 23)}.${draw("alnum", 6)}.${draw("alnum", 27)}`,
      "discord.on('messageCreate', handler)",
      `${DISCORD_ID}.${draw("alnum", 6)}.${draw("alnum", 27)}`,
    ],
  },
  "discord-webhook": known(
    "https://discord.com/developers/docs/resources/webhook",
    [`discord.com/api/webhooks/${draw("digits", 18)}/${draw("url", 68)}`],
    [
      "https://discord.com/api/webhooks/123/abc",
      `https://example.org/api/webhooks/${draw("digits", 18)}/${draw("url", 68)}`,
    ],
  ),
  "telegram-bot-token": known(
    "https://core.telegram.org/bots/features#botfather",
    [`${draw("digits", 10)}:AA${draw("url", 33)}`],
    [
      `${draw("digits", 10)}:AA${draw("url", 32)}`,
      `${draw("digits", 10)}:AA${"x".repeat(33)}`,
      `10:AA${draw("url", 33)}`,
    ],
  ),
  "teams-webhook": known(
    "https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook",
    [`contoso.webhook.office.com/webhookb2/${uuid()}@${uuid()}/IncomingWebhook/${draw("hex", 32)}/${uuid()}`],
    [
      "https://contoso.webhook.office.com/webhookb2/xxxx/IncomingWebhook/xxxx",
      `a.webhook.office.com/webhookb2/${ZERO}@${ZERO}/IncomingWebhook/${"0".repeat(32)}/${ZERO}`,
      `https://contoso.webhook.office.com/webhookb2/${uuid()}`,
    ],
  ),
  "power-automate-webhook": {
    page: "https://learn.microsoft.com/en-us/connectors/teams/",
    secrets: [draw("url", 43)],
    carriers: [
      (secret) =>
        `https://prod-01.westeurope.logic.azure.com:443/workflows/${draw("hex", 32)}/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=${secret}`,
    ],
    nearMisses: [
      "/triggers/manual/paths/invoke?api-version=2016-06-01&sig=xxxx",
      `/paths/invoke?sv=1.0&sig=${draw("url", 43)}`,
    ],
  },
  "twilio-secret": named(
    "https://www.twilio.com/docs/iam/api-keys",
    ["TWILIO_AUTH_TOKEN", "twilio.api_secret"],
    [draw("hex", 32), draw("alnum", 32)],
    [draw("hex", 32), blanked("TWILIO_AUTH_TOKEN=", 32, "0"), `TWILIO_ACCOUNT_SID=AC${draw("hex", 32)}`],
  ),
  "sendgrid-api-key": known(
    "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
    [`SG.${draw("url", 22)}.${draw("url", 43)}`],
    [`SG.${draw("url", 22)}.${draw("url", 42)} `, `SG.${"x".repeat(22)}.${"x".repeat(43)}`],
  ),
  "mailgun-key": named(
    "https://documentation.mailgun.com/docs/mailgun/user-manual/api-key-mgmt/api-keys",
    ["MAILGUN_API_KEY", "mailgun_signing_key"],
    [`key-${draw("hex", 32)}`, `${draw("hex", 32)}-${draw("hex", 8)}-${draw("hex", 8)}`],
    [
      `key-${draw("hex", 32)}`,
      "MAILGUN_API_KEY=key-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
      "MAILGUN_DOMAIN=mg.example.org",
    ],
  ),
  "mailchimp-key": known(
    "https://mailchimp.com/help/about-api-keys/",
    [`${draw("hex", 32)}-us1`, `${draw("hex", 32)}-us21`],
    [`${draw("hex", 31)}-us1`, `${draw("hex", 32)}-us-east-1`, "00000000000000000000000000000000-us1"],
  ),
  "brevo-key": known(
    "https://developers.brevo.com/docs/api-clients",
    [`xkeysib-${draw("hex", 64)}-${draw("alnum", 16)}`, `xsmtpsib-${draw("hex", 64)}-${draw("alnum", 16)}`],
    [`xkeysib-${draw("hex", 63)}-${draw("alnum", 16)}`, `xkeysib-${"0".repeat(64)}-${"0".repeat(16)}`],
  ),
  "resend-key": known(
    "https://resend.com/docs/dashboard/api-keys/introduction",
    [`re_${draw("alnum", 8)}_${draw("alnum", 24)}`],
    [
      "re_12345678_123456789012345678901234",
      "re_compiler_optimizationPassesInOrder",
      `pre_${draw("alnum", 8)}_${draw("alnum", 24)}`,
    ],
  ),
};

import { draw } from "./draw.ts";

const x = (length: number): string => "x".repeat(length);
const zeros = (length: number): string => "0".repeat(length);

/**
 * Right in form and filled in by hand, as in a template, or drawn without the structure that it should have: only the
 * minimum of entropy, or the check, tells these from real ones.
 */
export const FILLED_IN: Readonly<Record<string, readonly string[]>> = {
  "mailgun-key": [`MAILGUN_API_KEY=${zeros(32)}`, `MAILGUN_API_KEY=key-${zeros(32)}`],
  "github-installation-token": [
    `GITHUB_TOKEN=ghs_123456_eyJ${draw("url", 40)}.eyJ${draw("url", 60)}.${draw("url", 43)}`,
  ],
  "unprefixed-model-key": [`MISTRAL_API_KEY=${x(32)}`, `COHERE_API_KEY=${zeros(40)}`],
  "slack-app-token": [`xapp-1-A${zeros(10)}-${zeros(13)}-${zeros(64)}`],
  "discord-webhook": [`https://discord.com/api/webhooks/${zeros(18)}/${x(68)}`],
  "power-automate-webhook": [`/triggers/manual/paths/invoke?api-version=2016-06-01&sv=1.0&sig=${x(43)}`],
  "azure-storage-key": [`AccountKey=${x(86)}==`],
  "azure-shared-access-key": [`SharedAccessKey=${x(43)}=`],
  "cloudflare-api-token": [`cfut_${x(40)}${zeros(8)}`, `v1.0-${zeros(24)}-${zeros(146)}`],
  "terraform-cloud-token": [`${x(14)}.atlasv1.${x(67)}`],
  "supabase-key": [`sbp_${zeros(40)}`, `sb_secret_${x(22)}_${x(8)}`],
  "cockroachdb-cloud-key": [`CCDB1_${x(22)}_${x(40)}`],
  "github-fine-grained-token": [`github_pat_${x(22)}_${x(59)}`],
  "anthropic-api-key": [`sk-ant-api03-${x(93)}AA`],
  "langsmith-api-key": [`lsv2_pt_${zeros(32)}_${zeros(10)}`],
  "build-service-token": [`bkua_${zeros(40)}`, `CCIPAT_${x(22)}_${zeros(40)}`],
  "braintree-access-token": [`access_token$production$${x(16)}$${zeros(32)}`],
  "adyen-api-key": [`AQE${x(77)}-${x(43)}=-${x(16)}`],
};

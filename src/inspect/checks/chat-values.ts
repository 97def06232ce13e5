import { looksRandom } from "./randomness.ts";

/** Whether the first part of a Discord token is a snowflake in base64 (17 to 20 decimal digits), the last a signature. */
export function isDiscordToken(token: string): boolean {
  const id = Buffer.from(token.slice(0, token.indexOf(".")), "base64url").toString("latin1");
  return /^\d{17,20}$/.test(id) && looksRandom(token.slice(token.lastIndexOf(".") + 1));
}

/** Whether a webhook's last part is more than the run of one character that Slack's own pages show. */
export function isSlackWebhook(url: string): boolean {
  return new Set(url.slice(url.lastIndexOf("/") + 1)).size >= MIN_DIFFERENT;
}

/** A random part of 24 characters has fewer than this in less than one case in a billion. */
const MIN_DIFFERENT = 8;

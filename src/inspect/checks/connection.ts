import { isPlaceholder } from "./placeholder.ts";

/**
 * Whether a URL of a database or broker holds a password worth keeping: not a placeholder, and for a host that
 * others can reach. `postgres://app:app@localhost` is in every repository's test set-up.
 */
export function isSecretUrl(url: string): boolean {
  const parts = partsOf(url);
  if (parts === undefined) return false;
  const { user, password, host } = parts;
  if (/^(?:anonymous|anon|anoncvs|ftp)$/i.test(user)) return false;
  if (/^\d{1,5},/.test(password)) return false; // a list of hosts with ports
  return !isPlaceholder(password) && password.toLowerCase() !== user.toLowerCase() && !isOwnHost(host);
}

/** The same for http and https, where more is written as an example: the password must look like one. */
export function isCredentialUrl(url: string): boolean {
  const password = partsOf(url)?.password ?? "";
  return password.length >= MIN_PASSWORD && isSecretUrl(url) && isVaried(password);
}

/** Shorter than this an http password is an illustration far more often than a secret. */
const MIN_PASSWORD = 8;

function partsOf(url: string): { user: string; password: string; host: string } | undefined {
  const authority = url.slice(url.indexOf("://") + 3);
  const at = authority.lastIndexOf("@");
  const colon = authority.indexOf(":");
  if (colon < 0 || at < colon) return undefined;
  const host = authority.slice(at + 1).toLowerCase();
  return { user: authority.slice(0, colon), password: decoded(authority.slice(colon + 1, at)), host };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Names and addresses of one's own machine, of one's own composed services, and those reserved for documentation (RFC 2606, 5737, 3849). */
function isOwnHost(host: string): boolean {
  const name = host.replace(/:\d{1,5}(?:,.*)?$/, "");
  if (!/[.:]/.test(name)) return true;
  return (
    /^(?:127\.|0\.0\.0\.0|\[?::1\]?|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|\[?2001:db8:)/.test(name) ||
    /(?:^|\.)(?:localhost|example|invalid|test|local|localdomain|example\.(?:com|org|net|edu)|your-?\w{1,30}\.\w{2,6}|(?:my|some)?(?:host|server|domain|database|site)\.(?:com|org|net|tld))$/.test(
      name,
    )
  );
}

/** Letters and digits: words alone are a description of what should stand there. */
export function isVaried(password: string): boolean {
  return /\d/.test(password) && /[A-Za-z]/.test(password);
}

/**
 * A credential that opens nothing, put where whoever looks for credentials looks, and nobody else. No program reads
 * the file, so a request with the value in it has been searched together: egress always refuses it, and it is on
 * the log. Each bottle has its own, of no form that says what it is.
 */
import { randomInt } from "node:crypto";
import { GUEST } from "../contract/backend.ts";
import type { PlannedFile } from "../contract/plan.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH = 40;

export function mintDecoy(): string {
  return Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
}

export function decoyFile(decoy: string): PlannedFile {
  const content = { endpoint: "https://backup.internal/v2", account: "automation", secret_key: decoy };
  return {
    path: `${GUEST.home}/.config/backup/credentials.json`,
    content: `${JSON.stringify(content, null, 2)}\n`,
    mode: 0o600,
  };
}

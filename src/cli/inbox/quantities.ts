/** Times and sizes as an operator writes and reads them. */
import { UserError } from "../../lib/errors.ts";

const MILLISECONDS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
/** A year: who wants more wants `--session` or `--always`. */
const LONGEST_MS = 366 * 86_400_000;

/** `90s`, `30m`, `2h`, `1d`, `1h30m`, in milliseconds. @throws UserError */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d{1,6})(s|min|m|h|d)/g)];
  const isWhole = parts.length > 0 && parts.map(([part]) => part).join("") === text;
  const sum = parts.reduce(
    (total, [, number, unit]) => total + Number(number) * (MILLISECONDS[unit ?? ""] ?? Number.NaN),
    0,
  );
  if (isWhole && sum >= 1_000 && sum <= LONGEST_MS) return sum;
  throw new UserError(`${JSON.stringify(text)} is not a time from one second to a year`, {
    hint: "write 90s, 30m, 2h, 1d or 1h30m",
    exitCode: 2,
  });
}

const BYTES: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `500`, `64K`, `10M`: binary units. @throws UserError */
export function parseBytes(text: string): number {
  const [, number, unit] = /^(\d{1,12}) ?([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  const bytes = Number(number) * (BYTES[(unit ?? "").toUpperCase()] ?? Number.NaN);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new UserError(`${JSON.stringify(text)} is not a number of bytes`, {
    hint: "write 500000, 64K, 10M or 1G",
    exitCode: 2,
  });
}

/** `45 s`, `12 min`, `3 h`, `2 d`; `0 s` for what is over. */
export function durationText(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1_000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3_600) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** `512 B`, `64.0 KiB`. */
export function sizeText(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  if (bytes < 1_024) return `${bytes} B`;
  let value = bytes / 1_024;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${units[unit] ?? ""}`;
}

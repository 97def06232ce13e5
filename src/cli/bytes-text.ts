/** Sizes for people: in the unit in which they are short. */
const UNITS = [
  ["G", 2 ** 30],
  ["M", 2 ** 20],
  ["K", 2 ** 10],
] as const;

export function bytesText(bytes: number): string {
  for (const [unit, size] of UNITS)
    if (bytes >= size) return `${Number((bytes / size).toPrecision(3))}${unit}`;
  return `${bytes}`;
}

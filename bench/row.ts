/** One measured figure. Ratios of one run compare; single milliseconds of different runs do not. */
export interface BenchRow {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly p95: number;
  readonly note?: string;
}

/** Median and 95th percentile of samples, by nearest rank. */
export function row(name: string, unit: string, samples: readonly number[], note?: string): BenchRow {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
  return { name, unit, median: at(0.5), p95: at(0.95), ...(note !== undefined && { note }) };
}

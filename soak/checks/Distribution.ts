/** Percentiles of measured values, by nearest rank: each is a value that occurred. */

export interface Distribution {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** `undefined` if there are no samples. */
export const of = (samples: ReadonlyArray<number>): Distribution | undefined => {
  if (samples.length === 0) return undefined
  const sorted = Float64Array.from(samples).sort()
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!
  return { count: sorted.length, p50: rank(0.5), p99: rank(0.99), max: sorted.at(-1)! }
}

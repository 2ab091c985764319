/** What is said of many timings of one thing. */

/** The value below which so much of a sample lies: 0.5 is the median. Interpolates between neighbours. */
export const quantile = (sample: ReadonlyArray<number>, share: number): number => {
  const sorted = [...sample].sort((a, b) => a - b)
  const position = (sorted.length - 1) * share
  const below = sorted[Math.floor(position)] ?? Number.NaN
  const above = sorted[Math.ceil(position)] ?? Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}

export const median = (sample: ReadonlyArray<number>): number => quantile(sample, 0.5)

/**
 * The slope of the least-squares line through the origin, and how much of the variance it leaves: 0 is a perfect line.
 */
export const proportionality = (
  points: ReadonlyArray<{ readonly x: number; readonly y: number }>
): { readonly slope: number; readonly error: number } => {
  const xy = points.reduce((sum, { x, y }) => sum + x * y, 0)
  const xx = points.reduce((sum, { x }) => sum + x * x, 0)
  const slope = xy / xx
  const error = Math.max(...points.map(({ x, y }) => Math.abs(y - slope * x) / Math.max(y, slope * x)))
  return { slope, error }
}

/** A copy in random order. */
export const shuffled = <A>(items: ReadonlyArray<A>, random: () => number = Math.random): ReadonlyArray<A> => {
  const copy = [...items]
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[copy[i], copy[j]] = [copy[j]!, copy[i]!]
  }
  return copy
}

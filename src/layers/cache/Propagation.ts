/**
 * How long changes took to become visible in this process: their age when they were read, by the database's clock
 * alone, and then as long as the whole read took by the process's clock. So the two clocks are never compared, and the
 * result is an upper bound.
 */
import type { Published, RowDiff } from "../../schema/Snapshot.ts"

/** What came of reading everything. */
export interface Reconciled {
  /** How the table differed from the snapshot, in the order of slots. */
  readonly diff: ReadonlyArray<RowDiff>
  /** What of that was published, in the same order. */
  readonly published: ReadonlyArray<Published>
  /** From sending the read to publishing it, in milliseconds. */
  readonly took: number
}

/** The seconds that each published change took. A deleted row has no age, and is left out. */
export const secondsOf = ({ diff, published, took }: Reconciled): ReadonlyArray<number> => {
  const seconds: Array<number> = []
  let next = 0
  for (const { age, slot } of diff) {
    if (published[next]?.slot !== slot) continue
    next++
    if (age !== undefined) seconds.push(Math.max(0, age) + took / 1000)
  }
  return seconds
}

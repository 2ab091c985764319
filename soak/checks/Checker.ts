/**
 * Checks what the planes of one tenant showed and did against the history of the tenant's table.
 *
 * It is fed the rows of the journal, and then what the planes reported before the journal was read; the journal holds
 * everything that such a report can have seen. `Reads` and `Writes` hold the checks, `Evidence` what they share.
 */
import type { Report } from "../Messages.ts"
import * as Arrivals from "./Arrivals.ts"
import * as Evidence from "./Evidence.ts"
import * as History from "./History.ts"
import * as Reads from "./Reads.ts"
import type { Check } from "./Violations.ts"
import * as Writes from "./Writes.ts"

export interface CheckerOptions extends Evidence.CheckerOptions {
  readonly arrived: (arrival: Arrivals.Arrival) => void
}

export interface JournalRow extends History.Version {
  readonly key: string
}

export interface Checker {
  /** Takes the next rows of the journal; those of a key come in order. */
  readonly committed: (rows: ReadonlyArray<JournalRow>) => void
  /** Checks a report from before the journal was last read; those of a plane come in order. */
  readonly check: (report: Report) => void
  readonly history: (key: string) => History.History
}

export const make = ({ arrived, ...options }: CheckerOptions): Checker => {
  const evidence = Evidence.make(options)
  const reads = Reads.make(evidence, Arrivals.make(arrived))
  const writes = Writes.make(evidence)
  const { history, violate } = evidence

  return {
    history,
    committed: (rows) => {
      for (const row of rows) committed(evidence, row)
    },
    check: (report) => {
      switch (report._tag) {
        case "Observation":
          return reads.observed(report)
        case "PairSeen":
          return reads.pairSeen(report)
        case "Written":
          return writes.written(report)
        case "Removed":
          return writes.removed(report)
        case "Forgot":
          return void evidence.backSince.set(report.plane, report.back ? report.ended : Number.POSITIVE_INFINITY)
        case "Broken":
          return violate(report.check as Check, undefined, `${report.plane}: ${report.what}`)
      }
    }
  }
}

const committed = ({ denied, history, violate }: Evidence.Evidence, { key, ...version }: JournalRow) => {
  const known = history(key)
  const before = known.versions.at(-1)!
  const seeded = History.isSeed(version)
  // A restored backup may hold a seeded row, below the row that it replaces.
  if (seeded && before.revision !== 0 && version.revision > before.revision) {
    violate("brokeSeeding", key, `a default was written over ${Evidence.show(before)}`)
  }
  if (denied.get(version.stamp) === key) {
    violate("brokeDefinite", key, `${version.stamp} landed, though its writer was told that it did not`)
  }
  // To readers an untouched seed is no row.
  if (!seeded) known.append(version)
  else if (before.revision !== 0) known.append({ ...version, revision: 0 })
}

/** The guarantees as named checks, and the violations that were found. */

/** Each check with the promise it holds the plane to. */
export const checks = {
  brokeConvergence: "G1 after the last write and a healthy verify period every plane equals the database",
  brokeMonotonic: "G2 no reader in a process sees an older version of a key after a newer one",
  brokeReadYourWrites: "G3 what was written is read, or something newer",
  brokeStaleness: "G4 nothing is served as fresh that was superseded longer than maxStaleness ago; confirmedAt is true",
  brokeIsolation: "G5 no value, event, error or log line of one tenant reaches another",
  brokeBadRows: "G6 a row that does not decode never comes into force, nor a value that was never committed",
  brokeSeeding: "G7 a default is written only if no row exists",
  brokeSubscribers: "G8 every subscriber ends at the newest value, in order, whatever other subscribers do",
  brokeTorn: "G9 what was written in one transaction is seen together",
  brokeDefinite: "G10 a write that landed is in the table, one that did not is not; of racing guarded writes one lands",
  brokeLeaks: "G12 a plane that closes, or removes a tenant, leaves no session behind",
  brokeRecovery: "G13 after every fault each tenant becomes live again",
  brokeNotification: "G14 a notification carries names and a revision, never a value",
  brokeRecord: "G16 every committed change is in the history once, in its order, grouped as it was committed",
  brokeCalm: "nothing in the plane dies: no defect is logged"
} as const

export type Check = keyof typeof checks

export interface Violation {
  readonly check: Check
  /** What was seen, and what should have been. */
  readonly what: string
  readonly tenant?: string | undefined
  readonly key?: string | undefined
  /** The history of the key around it. */
  readonly context?: ReadonlyArray<string> | undefined
}

export interface Violations {
  readonly add: (violation: Violation) => void
  readonly counts: () => Readonly<Record<Check, number>>
  /** The first of each check, in the order in which they broke. */
  readonly firsts: () => ReadonlyArray<Violation>
  readonly total: () => number
}

export const make = (): Violations => {
  const counts = Object.fromEntries(Object.keys(checks).map((check) => [check, 0])) as Record<Check, number>
  const firsts: Array<Violation> = []
  return {
    add: (violation) => {
      if (counts[violation.check]++ === 0) firsts.push(violation)
    },
    counts: () => counts,
    firsts: () => firsts,
    total: () => Object.values(counts).reduce((sum, count) => sum + count, 0)
  }
}

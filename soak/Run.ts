/**
 * The checkers of all tenants of a run. It collects what the planes report, reads the tenants' journals, and has each
 * checker compare the two.
 */
import { Effect } from "effect"
import type { Arrival } from "./checks/Arrivals.ts"
import * as Checker from "./checks/Checker.ts"
import type { Violations } from "./checks/Violations.ts"
import type { Report } from "./Messages.ts"
import * as Journal from "./world/Journal.ts"
import type { World } from "./world/World.ts"

/**
 * A commit's time is that of its commit record, and it can be seen only a moment later; timers run late on a busy
 * machine. In milliseconds.
 */
const tolerance = 100

export interface Run {
  /** Takes what a host reported. */
  readonly record: (reports: ReadonlyArray<Report>) => void
  /** Reads every journal once, and checks what was reported before. */
  readonly check: Effect.Effect<void>
  readonly checkerOf: (tenant: string) => Checker.Checker
  readonly arrivals: ReadonlyArray<Arrival>
  readonly counts: () => {
    readonly versions: number
    readonly reports: number
    readonly writes: Readonly<Record<string, number>>
  }
}

export const make = (world: World, maxStaleness: number, violations: Violations): Run => {
  const arrivals: Array<Arrival> = []
  const writes: Record<string, number> = { landed: 0, not: 0, unknown: 0 }
  let versions = 0
  let checked = 0

  const tenants = new Map(
    world.tenants.map(({ database, name }) => {
      const checker = Checker.make({
        tenant: name,
        maxStaleness,
        tolerance,
        broken: violations.add,
        arrived: (arrival) => arrivals.push(arrival)
      })
      return [name, { checker, journal: Journal.reader(database), waiting: [] as Array<Report> }] as const
    })
  )

  return {
    record: (reports) => {
      for (const report of reports) {
        if (report._tag === "Written") writes[report.outcome]!++
        // A report that concerns no tenant in particular goes to the first one.
        tenants.get(report.tenant ?? world.tenants[0]!.name)?.waiting.push(report)
      }
    },
    check: Effect.forEach(
      [...tenants.values()],
      ({ checker, journal, waiting }) =>
        Effect.gen(function* () {
          // The journal, read after these reports came, holds all that they can have seen.
          const reports = waiting.length
          const rows = yield* journal
          checker.committed(rows)
          versions += rows.length
          checked += reports
          for (const report of waiting.splice(0, reports)) checker.check(report)
        }).pipe(Effect.ignore),
      { concurrency: 4, discard: true }
    ),
    checkerOf: (tenant) => tenants.get(tenant)!.checker,
    arrivals,
    counts: () => ({ versions, reports: checked, writes })
  }
}

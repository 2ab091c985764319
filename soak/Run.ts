/** Judges all tenants while the soak runs: reads their journals, and holds against them what the planes reported. */
import { Effect } from "effect"
import type { Arrival } from "./checks/Arrivals.ts"
import * as Checker from "./checks/Checker.ts"
import type { Violations } from "./checks/Violations.ts"
import type { Report } from "./Messages.ts"
import * as Journal from "./world/Journal.ts"
import type { World } from "./world/World.ts"

/**
 * A commit counts from its commit record, and can be seen only a moment later; timers run late on a busy machine. In
 * milliseconds.
 */
const tolerance = 500

export interface Trial {
  /** Takes what a host reported. */
  readonly hear: (reports: ReadonlyArray<Report>) => void
  /** Reads every journal once, and judges what was reported before. */
  readonly sitting: Effect.Effect<void>
  readonly judgeOf: (tenant: string) => Checker.Checker
  readonly arrivals: ReadonlyArray<Arrival>
  readonly counts: () => {
    readonly versions: number
    readonly reports: number
    readonly writes: Readonly<Record<string, number>>
  }
}

export const make = (world: World, maxStaleness: number, violations: Violations): Trial => {
  const arrivals: Array<Arrival> = []
  const writes: Record<string, number> = { landed: 0, not: 0, unknown: 0 }
  let versions = 0
  let judged = 0

  const courts = new Map(
    world.tenants.map(({ database, name }) => {
      const judge = Checker.make({
        tenant: name,
        maxStaleness,
        tolerance,
        broken: violations.add,
        arrived: (arrival) => arrivals.push(arrival)
      })
      return [name, { judge, read: Journal.reader(database), waiting: [] as Array<Report> }] as const
    })
  )

  return {
    hear: (reports) => {
      for (const report of reports) {
        if (report._tag === "Written") writes[report.outcome]!++
        // What concerns no tenant in particular, concerns the first.
        courts.get(report.tenant ?? world.tenants[0]!.name)?.waiting.push(report)
      }
    },
    sitting: Effect.forEach(
      [...courts.values()],
      (court) =>
        Effect.gen(function* () {
          // Whatever was shown before the journal is read is in it.
          const reports = court.waiting.length
          const rows = yield* court.read
          court.judge.committed(rows)
          versions += rows.length
          judged += reports
          for (const report of court.waiting.splice(0, reports)) court.judge.judge(report)
        }).pipe(Effect.ignore),
      { concurrency: 4, discard: true }
    ),
    judgeOf: (tenant) => courts.get(tenant)!.judge,
    arrivals,
    counts: () => ({ versions, reports: judged, writes })
  }
}

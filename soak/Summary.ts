/** The report that a soak prints at its end. */
import type { Condition } from "./checks/Conditions.ts"
import * as Distribution from "./checks/Distribution.ts"
import { type Check, checks, type Violation, type Violations } from "./checks/Violations.ts"
import type { Tally } from "./world/ForeignWriters.ts"
import type { Fault } from "./world/Nemesis.ts"

export interface Memory {
  readonly host: string
  /** Bytes of heap after garbage collection. */
  readonly begin: number
  readonly end: number
}

export interface Result {
  readonly command: string
  readonly violations: Violations
  readonly convergence: Readonly<Record<Condition, ReadonlyArray<number>>>
  readonly counts: {
    readonly versions: number
    readonly reports: number
    readonly writes: Readonly<Record<string, number>>
  }
  readonly faults: ReadonlyArray<Fault>
  readonly interventions: number
  readonly notifications: number
  readonly foreign: Tally
  /** How often the tenants beside were dropped and made anew. */
  readonly remade: ReadonlyMap<string, number>
  readonly records: number
  readonly memory: ReadonlyArray<Memory>
  readonly left: { readonly sessions: number; readonly sockets: number; readonly fibers: number }
}

const conditions: Readonly<Record<Condition, string>> = {
  calm: "announced, no fault",
  unannounced: "unannounced, no fault",
  faults: "under faults"
}

export const render = (result: Result): string => {
  const { counts, violations } = result
  const { landed, not, unknown } = counts.writes
  return [
    "",
    `${result.command}`,
    "",
    `${counts.versions} versions committed, of them ${landed} by planes (${not} did not land, ${unknown} unknown)`,
    `${counts.reports} reports checked, ${result.notifications} notifications read, ${result.interventions} interventions`,
    `Foreign writes, done and failed: ${tallyOf(result.foreign)}`,
    `Beside them: ${[...result.remade].map(([what, times]) => `${times} × ${what}`).join(", ")}`,
    `${result.records} records of the history compared with what was committed`,
    `${result.faults.length} faults: ${faultCounts(result.faults)}`,
    "",
    "Commit to visible, in milliseconds",
    ...Object.entries(conditions).map(([condition, name]) =>
      line(name, Distribution.of(result.convergence[condition as Condition]))
    ),
    "",
    "Checks",
    ...Object.entries(violations.counts()).map(
      ([check, count]) => `  ${check.padEnd(20)} ${String(count).padStart(6)}  ${checks[check as Check]}`
    ),
    "",
    ...result.memory.map(
      ({ begin, end, host }) => `Heap of ${host}: ${mebibytes(begin)} at the beginning, ${mebibytes(end)} at the end`
    ),
    `Left behind: ${result.left.sessions} sessions, ${result.left.sockets} sockets, ${result.left.fibers} fibers`,
    "",
    ...verdict(violations, result.command)
  ].join("\n")
}

const line = (name: string, distribution: Distribution.Distribution | undefined) =>
  distribution === undefined
    ? `  ${name.padEnd(24)} none`
    : `  ${name.padEnd(24)} p50 ${whole(distribution.p50)}  p99 ${whole(distribution.p99)}  max ${whole(distribution.max)}  of ${distribution.count}`

const whole = (millis: number) => millis.toFixed(0).padStart(6)

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`

const faultCounts = (faults: ReadonlyArray<Fault>) =>
  [...Map.groupBy(faults, ({ what }) => what)].map(([what, all]) => `${all.length} × ${what}`).join(", ")

const tallyOf = (tally: Tally) =>
  [...tally].map(([kind, { done, failed }]) => `${kind} ${done}${failed > 0 ? ` (${failed})` : ""}`).join(", ")

const verdict = (violations: Violations, command: string): ReadonlyArray<string> =>
  violations.total() === 0
    ? ["Nothing broke."]
    : [...violations.firsts().flatMap(describe), "", `To play it again: ${command}`]

const describe = ({ check, context, key, tenant, what }: Violation): ReadonlyArray<string> => [
  `The first ${check}${tenant ? ` (${tenant} ${key ?? ""})` : ""}:`,
  `  ${what}`,
  ...(context ?? []).map((text) => `    ${text}`)
]

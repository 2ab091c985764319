/** Under which conditions a version arrived: what was wrong between its commit and its arrival. */
import type { Interlude } from "../Messages.ts"
import type { Fault } from "../world/nemesis.ts"
import type { Arrival } from "./Arrivals.ts"

/**
 * - `calm`: announced by a notification, with nothing wrong
 * - `unannounced`: the triggers were disabled, or the table truncated, with nothing wrong otherwise
 * - `faults`: something was broken, or the tenant was not live all the while
 */
export type Condition = "calm" | "unannounced" | "faults"

/** Sorts arrivals. Those that somebody delayed on purpose, by suspending or removing the tenant, are left out. */
export const sort = (
  arrivals: ReadonlyArray<Arrival>,
  faults: ReadonlyArray<Fault>,
  interludes: ReadonlyArray<Interlude>
): Readonly<Record<Condition, ReadonlyArray<number>>> => {
  const sorted: Record<Condition, Array<number>> = { calm: [], unannounced: [], faults: [] }
  const paused = Map.groupBy(interludes, ({ plane, tenant }) => `${plane}/${tenant}`)
  for (const { at, liveSince, plane, tenant, version } of arrivals) {
    const overlaps = ({ from, until }: { readonly from: number; readonly until: number }) =>
      from <= at && until >= version.committed
    if (paused.get(`${plane}/${tenant}`)?.some(overlaps)) continue
    const faulty =
      liveSince === undefined ||
      liveSince > version.committed ||
      faults.some((fault) => (fault.plane ?? plane) === plane && overlaps(fault))
    sorted[faulty ? "faults" : version.announced ? "calm" : "unannounced"].push(Math.max(0, at - version.committed))
  }
  return sorted
}

/** Sorts arrivals by what was wrong between the commit of a version and its arrival. */
import type { Intervention } from "../Messages.ts"
import type { Fault } from "../world/Nemesis.ts"
import type { Arrival } from "./Arrivals.ts"

/**
 * - `calm`: announced by a notification, with nothing wrong
 * - `unannounced`: the triggers were disabled, or the table truncated, with nothing wrong otherwise
 * - `faults`: something was broken, or the tenant was not live all the while
 */
export type Condition = "calm" | "unannounced" | "faults"

/** Sorts arrivals. Those during an intervention (the tenant was suspended, removed or rotated) are left out. */
export const sort = (
  arrivals: ReadonlyArray<Arrival>,
  faults: ReadonlyArray<Fault>,
  interventions: ReadonlyArray<Intervention>
): Readonly<Record<Condition, ReadonlyArray<number>>> => {
  const sorted: Record<Condition, Array<number>> = { calm: [], unannounced: [], faults: [] }
  const paused = Map.groupBy(interventions, ({ plane, tenant }) => `${plane}/${tenant}`)
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

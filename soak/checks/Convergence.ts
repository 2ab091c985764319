/** Whether a plane, once nobody writes any more, shows what the table holds. */
import type { Final } from "../Messages.ts"
import type { History } from "./History.ts"

/** What is wrong with what a plane shows of a key; `undefined` where nothing is. */
export const problemOf = (shown: Final, { versions }: History): string | undefined => {
  const last = versions.at(-1)!
  const what = `${shown.plane} shows ${String(shown.stamp)} at revision ${shown.revision}`
  if (shown.stale) return `${what}, as stale`
  // A row that does not decode leaves in force what the plane saw last that did, which may be any valid version.
  const expected = last.valid ? [last] : versions.filter((version) => version.valid)
  return expected.some((version) => version.stamp === shown.stamp && version.revision === shown.revision)
    ? undefined
    : `${what}; the table holds ${last.stamp} at revision ${last.revision}`
}

/** Whether a subscriber was last told of what the table holds. */
export const unheard = ({ heard, plane }: Final, { versions }: History): string | undefined => {
  const last = versions.at(-1)!
  return heard === `${last.stamp}/${last.revision}`
    ? undefined
    : `a subscriber of ${plane} last heard of ${heard ?? "nothing"}; the table holds ${last.stamp}/${last.revision}`
}

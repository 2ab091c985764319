/** Whether a plane shows what the table holds once all writers have stopped. */
import type { Final } from "../Messages.ts"
import type { History } from "./History.ts"

/** What is wrong with what a plane shows of a key; `undefined` if nothing is. */
export const problemOf = (shown: Final, { versions }: History): string | undefined => {
  const last = versions.at(-1)!
  const what = `${shown.plane} shows ${String(shown.stamp)} at revision ${shown.revision}`
  if (shown.stale) return `${what}, as stale`
  // A bad row leaves in force the last valid version that the plane saw, which may be any of them.
  const expected = last.valid ? [last] : versions.filter((version) => version.valid)
  return expected.some((version) => version.stamp === shown.stamp && version.revision === shown.revision)
    ? undefined
    : `${what}; the table holds ${last.stamp} at revision ${last.revision}`
}

/** What is wrong with what a subscriber was last told; `undefined` if it is what the table holds. */
export const undelivered = ({ heard, plane }: Final, { versions }: History): string | undefined => {
  const last = versions.at(-1)!
  return heard === `${last.stamp}/${last.revision}`
    ? undefined
    : `a subscriber of ${plane} was last told ${heard ?? "nothing"}; the table holds ${last.stamp}/${last.revision}`
}

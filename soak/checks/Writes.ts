/** Checks what came of the writes and removals of a plane against what the table's history says of them. */
import type { Removed, Written } from "../Messages.ts"
import { type Evidence, show } from "./Evidence.ts"

export const make = ({ denied, floorsOf, history, violate }: Evidence) => {
  const positionOf = (key: string, stamp: string) =>
    history(key).find({ stamp, revision: undefined }, 0, Number.POSITIVE_INFINITY)

  const written = (report: Written) => {
    const { outcome, plane, writes } = report
    const found = writes.map(({ key, stamp }) => positionOf(key, stamp))
    if (outcome === "not") return didNotLand(report, found)
    const landed = found.filter((position) => position >= 0).length
    if (landed !== 0 && landed !== writes.length) {
      violate("brokeTorn", writes[0]!.key, `${landed} of ${writes.length} keys of one transaction of ${plane} landed`)
    }
    if (outcome === "landed") didLand(report, found)
  }

  const didNotLand = ({ plane, writes }: Written, found: ReadonlyArray<number>) =>
    writes.forEach(({ key, stamp }, i) => {
      if (found[i]! >= 0) violate("brokeDefinite", key, `${stamp} landed, though ${plane} said that it did not`)
      denied.set(stamp, key)
    })

  const didLand = ({ answeredAt, ended, plane, writes }: Written, found: ReadonlyArray<number>) =>
    writes.forEach(({ ifRevision, key, stamp }, i) => {
      const position = found[i]!
      if (position < 0) {
        violate("brokeDefinite", key, `${stamp} is not in the table, though ${plane} said that it landed`)
        return
      }
      floorsOf(plane, "reads").raise(key, { position, cause: "written", ended, at: answeredAt })
      const before = history(key).versions[position - 1]!
      if (ifRevision !== undefined && before.revision !== ifRevision) {
        violate("brokeDefinite", key, `${stamp} was written only over revision ${ifRevision}, but over ${show(before)}`)
      }
    })

  const removed = ({ answeredAt, ended, key, plane, revision }: Removed) => {
    const { versions } = history(key)
    const position = versions.findIndex(
      (version, i) => version.revision === 0 && versions[i - 1]?.revision === revision
    )
    if (position < 0) violate("brokeDefinite", key, `${plane} removed revision ${revision}, but the table kept it`)
    else floorsOf(plane, "reads").raise(key, { position, cause: "written", ended, at: answeredAt })
  }

  return { written, removed }
}

/**
 * Checks what a plane showed, by a read or to a subscriber.
 *
 * Each value shown must be a version of its key, and no version before one that the same observer had seen, or its
 * process had written, before the read began. That is more than "no lower revision": it also holds for rows that
 * foreign writers changed in place, and for tables that went back to an older copy.
 */
import type { Observation, PairSeen, Seen } from "../Messages.ts"
import type { Arrivals } from "./Arrivals.ts"
import { clockError, type Evidence, show } from "./Evidence.ts"
import type * as Floors from "./Floors.ts"
import * as History from "./History.ts"
import type { Check } from "./Violations.ts"

export const make = (evidence: Evidence, arrivals: Arrivals) => {
  const { floorsOf, history, isOurs, violate } = evidence
  const lastChange = new Map<string, string>()

  const observed = (seen: Observation) => {
    if (!isOurs(seen)) return
    const known = history(seen.key)
    const floors = floorsOf(seen.plane, seen.observer)
    const floor = higher(floors.at(seen.key, seen.began), writtenFloor(seen, known))
    const sought = soughtOf(seen)
    const position = known.find(sought, floor.position, seen.answeredAt + clockError)
    if (position < 0) return explainMissing(seen, known, floor)
    floors.raise(seen.key, { position, cause: "shown", ended: seen.ended, at: seen.answeredAt })
    if (seen.observer === "changes") changeSeen(seen, known, position)
    checkFreshness(evidence, seen, known)
  }

  /** No version from the floor on is the one shown: a violation, unless a removal or a bad row explains it. */
  const explainMissing = (seen: Observation, known: History.History, floor: Floors.Floor) => {
    if (isForgetful(evidence, seen, known, floor) || isBelowBadRow(known, floor)) return
    if (isRecalled(seen, known, floor)) return
    const older = known.findLast(soughtOf(seen), seen.answeredAt + clockError)
    if (older >= 0 && History.wentBack(known, older, floor.position)) return
    if (older < 0) violate("brokeBadRows", seen.key, `${shownBy(seen)}, which no writer committed`)
    else violate(checkOf(seen, floor), seen.key, `${shownBy(seen)}, after ${show(known.versions[floor.position]!)}`)
  }

  const changeSeen = (seen: Observation, known: History.History, position: number) => {
    const { key, plane, revision } = seen
    const stamp = String(seen.value.stamp)
    // A row that came and went before the subscriber looked leaves the default in force, as it was.
    if (revision !== 0 && lastChange.get(`${plane}/${key}`) === `${stamp}/${revision}`) {
      violate("brokeSubscribers", key, `${plane} announced ${stamp} twice in succession`)
    }
    lastChange.set(`${plane}/${key}`, `${stamp}/${revision}`)
    arrivals.seen(plane, evidence.tenant, key, known, position, seen)
  }

  const pairSeen = ({ at, left, plane, right, stale }: PairSeen) => {
    const ours = [left, right].every((value) => isOurs({ key: "pair", plane, value, via: "snapshot" }))
    if (ours && left.stamp !== right.stamp) {
      const what = `${plane} showed ${text(left)} beside ${text(right)} at ${at}${stale ? ", as stale" : ""}`
      violate("brokeTorn", "pairs/left", what)
    }
  }

  return { observed, pairSeen }
}

/** A plane that has forgotten what was in force before a row that does not decode shows the default. */
const isForgetful = (
  { backSince }: Evidence,
  { answeredAt, plane, value }: Observation,
  { versions }: History.History,
  floor: Floors.Floor
) =>
  value.stamp === History.defaultStamp &&
  floor.ended < (backSince.get(plane) ?? 0) &&
  versions.some((row, i) => i >= floor.position && !row.valid && row.committed <= answeredAt)

// Our write was overwritten by a row that does not decode before its answer arrived: it never came into force here, and
// what was in force before it stays.
const isBelowBadRow = ({ versions }: History.History, floor: Floors.Floor) =>
  floor.cause === "written" &&
  versions.some((row, i) => i > floor.position && !row.valid && row.committed <= floor.at + clockError)

const checkOf = ({ observer }: Observation, floor: Floors.Floor): Check =>
  observer === "changes" || observer === "watch"
    ? "brokeSubscribers"
    : floor.cause === "written"
      ? "brokeReadYourWrites"
      : "brokeMonotonic"

/**
 * Whether it is what the history has of a key whose row does not decode: the last valid version that was recorded. What
 * was written in silence after it, and was seen, is not in the history.
 */
const isRecalled = (seen: Observation, known: History.History, floor: Floors.Floor): boolean => {
  const shown = known.findLast(soughtOf(seen), seen.answeredAt + clockError)
  if (shown < 0) return false
  const last = known.at(seen.answeredAt + clockError)
  const bad = known.versions.findIndex(({ valid }, i) => !valid && i >= floor.position && i <= last)
  return bad >= 0 && known.versions.slice(shown + 1, bad).every(({ announced, valid }) => !announced || !valid)
}

/** Whether what was shown as fresh, or as confirmed at a time, had been superseded by more than the bound allows. */
const checkFreshness = ({ maxStaleness, tolerance, violate }: Evidence, seen: Observation, known: History.History) => {
  const shown = known.findLast(soughtOf(seen), seen.answeredAt + clockError)
  if (shown < 0) return
  const bound = seen.askedAt - maxStaleness - tolerance
  const next = () => known.versions[shown + 1]!
  if (seen.stale === false && History.missed(known, shown, bound, seen.answeredAt)) {
    const late = seen.askedAt - next().committed
    violate("brokeStaleness", seen.key, `${shownBy(seen)}, as fresh, ${late} ms after ${show(next())}`)
  }
  if (seen.confirmedAt === undefined) return
  if (History.missed(known, shown, seen.confirmedAt - tolerance, seen.answeredAt)) {
    const late = seen.confirmedAt - next().committed
    violate("brokeStaleness", seen.key, `${shownBy(seen)}, confirmed ${late} ms after ${show(next())}`)
  }
}

const soughtOf = ({ revision, value }: Observation): History.Sought => ({ stamp: String(value.stamp), revision })

const shownBy = ({ plane, revision, value, via }: Observation) =>
  `${plane} showed ${text(value)} at revision ${revision}, by ${via}`

const text = ({ stamp }: Seen) => String(stamp)

const higher = (a: Floors.Floor, b: Floors.Floor) => (b.position > a.position ? b : a)

/** A write returns what it wrote, or something newer. */
const writtenFloor = ({ answeredAt, ended, written }: Observation, known: History.History): Floors.Floor => {
  const sought = { stamp: written ?? History.defaultStamp, revision: undefined }
  const position = written === undefined ? 0 : known.find(sought, 0, Number.POSITIVE_INFINITY)
  return { position, cause: "written", ended, at: answeredAt }
}

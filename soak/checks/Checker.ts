/**
 * Holds what the planes of a tenant showed and did against the history of the tenant's table.
 *
 * Whatever a plane shows is a version of the key, and never one before a version that its process has seen, or written,
 * before it began to look. That is more than "no lower revision": it also holds for rows that strangers changed in place, and
 * for tables that went back.
 */
import type { Observation, PairSeen, Removed, Report, Seen, Written } from "../Messages.ts"
import * as Arrivals from "./Arrivals.ts"
import * as Floors from "./Floors.ts"
import * as History from "./History.ts"
import type { Check, Violation } from "./Violations.ts"

/** The server's clock has microseconds, ours has milliseconds. */
const clockError = 2

export interface JudgeOptions {
  readonly tenant: string
  /** In milliseconds. */
  readonly maxStaleness: number
  /** By how much clocks and timers may be late, in milliseconds. */
  readonly tolerance: number
  readonly broken: (violation: Violation) => void
  readonly arrived: (arrival: Arrivals.Arrival) => void
}

export interface JournalRow extends History.Version {
  readonly key: string
}

export interface Checker {
  /** The journal's next rows; those of a key in order. */
  readonly committed: (rows: ReadonlyArray<JournalRow>) => void
  /** Whatever a plane reported before the journal was read up to now; of each plane in order. */
  readonly judge: (report: Report) => void
  readonly history: (key: string) => History.History
}

export const make = ({ arrived, broken, maxStaleness, tenant, tolerance }: JudgeOptions): Checker => {
  const histories = new Map<string, History.History>()
  const floors = new Map<string, Floors.Floors>()
  const arrivals = Arrivals.make(arrived)
  /** Stamps of writes that did not land, by their keys. */
  const denied = new Map<string, string>()
  const lastChange = new Map<string, string>()
  /** When each plane was back from having forgotten the tenant; it is away where that is yet to come. */
  const back = new Map<string, number>()

  const history = (key: string) => getOrMake(histories, key, History.make)
  const floorsOf = (plane: string, observer: string) => getOrMake(floors, `${plane}/${observer}`, Floors.make)

  const violate = (check: Check, key: string | undefined, what: string) =>
    broken({ check, what, tenant, key, context: key === undefined ? [] : tail(history(key)) })

  const committed = (rows: ReadonlyArray<JournalRow>) => {
    for (const { key, ...version } of rows) {
      const known = history(key)
      const before = known.versions.at(-1)!
      const seeded = version.by === "systemplane.manager" && version.stamp === History.defaultStamp
      // A restored backup may hold a seeded row, below the one that it takes the place of.
      if (seeded && before.revision !== 0 && version.revision > before.revision) {
        violate("brokeSeeding", key, `a default was written over ${show(before)}`)
      }
      if (denied.get(version.stamp) === key) {
        violate("brokeDefinite", key, `${version.stamp} landed, though its writer was told that it did not`)
      }
      known.append(version)
    }
  }

  /** Whether the value can be judged: a value of this tenant, or the default. */
  const isOurs = ({ key, plane, value, via }: Pick<Observation, "key" | "plane" | "value" | "via">) => {
    if (typeof value.stamp !== "string") {
      violate("brokeBadRows", key, `${plane} showed a value that does not decode, by ${via}: ${JSON.stringify(value)}`)
      return false
    }
    if (value.stamp !== History.defaultStamp && value.tenant !== tenant) {
      violate("brokeIsolation", key, `${plane} showed a value of ${String(value.tenant)}, by ${via}: ${value.stamp}`)
      return false
    }
    return true
  }

  const observed = (seen: Observation) => {
    if (!isOurs(seen)) return
    const { key, plane, revision } = seen
    const stamp = seen.value.stamp as string
    const known = history(key)
    const floorsHere = floorsOf(plane, seen.observer)
    const floor = higher(floorsHere.at(key, seen.began), writtenFloor(seen, known))
    const sought = { stamp, revision }
    const by = seen.answeredAt + clockError
    const position = known.find(sought, floor.position, by)
    if (position < 0) {
      if (isForgetful(seen, floor) || isBelowBadRow(known, floor)) return
      const what = `${plane} showed ${stamp} at revision ${revision}, by ${seen.via}`
      const older = known.findLast(sought, by)
      if (older >= 0 && History.wentBack(known, older, floor.position)) return
      if (older < 0) violate("brokeBadRows", key, `${what}, which nobody committed`)
      else violate(checkOf(seen, floor), key, `${what}, after ${show(known.versions[floor.position]!)}`)
      return
    }
    floorsHere.raise(key, { position, cause: "shown", ended: seen.ended, at: seen.answeredAt })
    if (seen.observer === "changes") {
      // A row that came and went before the subscriber looked leaves the default in force, as it was.
      if (revision !== 0 && lastChange.get(`${plane}/${key}`) === `${stamp}/${revision}`) {
        violate("brokeSubscribers", key, `${plane} announced ${stamp} twice in succession`)
      }
      lastChange.set(`${plane}/${key}`, `${stamp}/${revision}`)
      arrivals.seen(plane, tenant, key, known, position, seen)
    }
    judgeFreshness(seen, sought, known)
  }

  /** A plane that has forgotten what was in force before a row that does not decode shows the default. */
  const isForgetful = ({ answeredAt, key, plane, value }: Observation, floor: Floors.Floor) =>
    value.stamp === History.defaultStamp &&
    floor.ended < (back.get(plane) ?? 0) &&
    history(key).versions.some((row, i) => i >= floor.position && !row.valid && row.committed <= answeredAt)

  // What we wrote was overwritten by a row that does not decode before we had our answer: it never came into force here, and
  // what was in force before it stays.
  const isBelowBadRow = (known: History.History, floor: Floors.Floor) =>
    floor.cause === "written" &&
    known.versions.some((row, i) => i > floor.position && !row.valid && row.committed <= floor.at + clockError)

  const checkOf = ({ observer }: Observation, floor: Floors.Floor): Check =>
    observer === "changes" || observer === "watch"
      ? "brokeSubscribers"
      : floor.cause === "written"
        ? "brokeReadYourWrites"
        : "brokeMonotonic"

  const judgeFreshness = (seen: Observation, sought: History.Sought, known: History.History) => {
    const shown = known.findLast(sought, seen.answeredAt + clockError)
    if (shown < 0) return
    const what = `${seen.plane} showed ${sought.stamp} at revision ${seen.revision}, by ${seen.via}`
    const bound = seen.askedAt - maxStaleness - tolerance
    if (seen.stale === false && History.missed(known, shown, bound, seen.answeredAt)) {
      const by = known.versions[shown + 1]!
      violate("brokeStaleness", seen.key, `${what}, as fresh, ${seen.askedAt - by.committed} ms after ${show(by)}`)
    }
    if (seen.confirmedAt === undefined) return
    if (History.missed(known, shown, seen.confirmedAt - tolerance, seen.answeredAt)) {
      const by = known.versions[shown + 1]!
      violate("brokeStaleness", seen.key, `${what}, confirmed ${seen.confirmedAt - by.committed} ms after ${show(by)}`)
    }
  }

  const pairSeen = ({ at, left, plane, right, stale }: PairSeen) => {
    const ours = [left, right].every((value) => isOurs({ key: "pair", plane, value, via: "snapshot" }))
    if (ours && left.stamp !== right.stamp) {
      const what = `${plane} showed ${text(left)} beside ${text(right)} at ${at}${stale ? ", as stale" : ""}`
      violate("brokeTorn", "pairs/left", what)
    }
  }

  const written = ({ answeredAt, ended, outcome, plane, writes }: Written) => {
    const found = writes.map(({ key, stamp }) =>
      history(key).find({ stamp, revision: undefined }, 0, Number.POSITIVE_INFINITY)
    )
    if (outcome === "not") {
      writes.forEach(({ key, stamp }, i) => {
        if (found[i]! >= 0) violate("brokeDefinite", key, `${stamp} landed, though ${plane} said that it did not`)
        denied.set(stamp, key)
      })
      return
    }
    const landed = found.filter((position) => position >= 0).length
    if (landed !== 0 && landed !== writes.length) {
      violate("brokeTorn", writes[0]!.key, `${landed} of ${writes.length} keys of one transaction of ${plane} landed`)
    }
    if (outcome === "unknown") return
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
  }

  const removed = ({ answeredAt, ended, key, plane, revision }: Removed) => {
    const { versions } = history(key)
    const position = versions.findIndex(
      (version, i) => version.revision === 0 && versions[i - 1]?.revision === revision
    )
    if (position < 0) violate("brokeDefinite", key, `${plane} removed revision ${revision}, but nobody did`)
    else floorsOf(plane, "reads").raise(key, { position, cause: "written", ended, at: answeredAt })
  }

  return {
    history,
    committed,
    judge: (report) => {
      switch (report._tag) {
        case "Observation":
          return observed(report)
        case "PairSeen":
          return pairSeen(report)
        case "Written":
          return written(report)
        case "Removed":
          return removed(report)
        case "Forgot":
          return void back.set(report.plane, report.back ? report.ended : Number.POSITIVE_INFINITY)
        case "Broken":
          return violate(report.check as Check, undefined, `${report.plane}: ${report.what}`)
      }
    }
  }
}

const getOrMake = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key) ?? make()
  map.set(key, known)
  return known
}

const text = ({ stamp }: Seen) => String(stamp)

const show = (version: History.Version) =>
  version.revision === 0 ? "no row" : `${version.stamp} at revision ${version.revision} (by ${version.by || "nobody"})`

const higher = (a: Floors.Floor, b: Floors.Floor) => (b.position > a.position ? b : a)

/** A write returns what it wrote, or something newer. */
const writtenFloor = ({ answeredAt, ended, written }: Observation, known: History.History): Floors.Floor => {
  const sought = { stamp: written ?? History.defaultStamp, revision: undefined }
  const position = written === undefined ? 0 : known.find(sought, 0, Number.POSITIVE_INFINITY)
  return { position, cause: "written", ended, at: answeredAt }
}

/** The last versions of a key, for whoever looks into a violation. */
const tail = ({ versions }: History.History): ReadonlyArray<string> => {
  const first = Math.max(1, versions.length - 25)
  return versions.slice(first).map((version, i) => {
    const decodes = version.valid ? "" : ", does not decode"
    const announced = version.announced ? "" : ", unannounced"
    const time = new Date(version.committed).toISOString()
    return `#${first + i} ${time} ${version.operation} ${show(version)}${decodes}${announced}`
  })
}

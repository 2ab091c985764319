/**
 * The versions that one key of one tenant ever had, in the order in which they were in force in the table. They come
 * from the journal, which a trigger writes in the writer's own transaction, even if the writer disabled the other
 * triggers.
 */

/** What the table held of a key from one commit to the next. */
export interface Version {
  /** Unique to a write; `defaultStamp` if there is no row, or if the row is the seeded default. */
  readonly stamp: string
  /** 0: no row. */
  readonly revision: number
  /** Whether the row decodes; a key without a row does. */
  readonly valid: boolean
  /** When it was committed, in milliseconds, by the server's clock. */
  readonly committed: number
  /** Whether a notification announced it. */
  readonly announced: boolean
  /** By whom, as the row says. */
  readonly by: string
  /** Which transaction wrote it. */
  readonly transaction: string
  readonly operation: "initial" | "insert" | "update" | "delete"
}

/** The stamp of the default, which many versions share. */
export const defaultStamp = "default"

/**
 * What a plane that keeps late copies of a change away puts in the place of a row that is missing, and deletes again.
 */
const placeholderStamp = "null"

/**
 * Whether a row is a default that a plane wrote, untouched since, or such a placeholder: to readers there is no row.
 */
export const isSeed = ({ by, stamp }: Pick<Version, "by" | "stamp">) =>
  (stamp === defaultStamp || stamp === placeholderStamp) && /^systemplane.manager:[0-9a-f]{16}$/.test(by)

const initial: Version = {
  stamp: defaultStamp,
  revision: 0,
  valid: true,
  committed: Number.NEGATIVE_INFINITY,
  announced: true,
  by: "",
  transaction: "",
  operation: "initial"
}

/** A version as a plane shows it; without a revision, any revision fits. */
export interface Sought {
  readonly stamp: string
  readonly revision: number | undefined
}

export interface History {
  readonly versions: ReadonlyArray<Version>
  readonly append: (version: Version) => void
  /** The first version from a position on that is the one described and was committed by then, or -1. */
  readonly find: (sought: Sought, from: number, by: number) => number
  /** The last version that is the one described and was committed by then, or -1. */
  readonly findLast: (sought: Sought, by: number) => number
  /** The position of the version that was in force at a time. */
  readonly at: (time: number) => number
}

/** The history of a key that starts without a row. */
export const make = (): History => {
  const versions: Array<Version> = [initial]
  const positions = new Map<string, Array<number>>([[initial.stamp, [0]]])

  const fits = (position: number, { revision }: Sought, by: number) =>
    versions[position]!.committed <= by && (revision === undefined || versions[position]!.revision === revision)

  return {
    versions,
    append: (version) => {
      const same = positions.get(version.stamp) ?? []
      positions.set(version.stamp, same)
      same.push(versions.length)
      versions.push(version)
    },
    // From the end: a reader has nearly caught up, and the default may have been in force a thousand times.
    find: (sought, from, by) => {
      const same = positions.get(sought.stamp) ?? []
      let first = -1
      for (let i = same.length - 1; i >= 0 && same[i]! >= from; i--) if (fits(same[i]!, sought, by)) first = same[i]!
      return first
    },
    findLast: (sought, by) => positions.get(sought.stamp)?.findLast((position) => fits(position, sought, by)) ?? -1,
    at: (time) => {
      let position = versions.length - 1
      while (versions[position]!.committed > time) position--
      return position
    }
  }
}

/**
 * Whether a plane that shows a version at `time` missed one that has been in force since `since`: the version shown was
 * superseded before, and none of those since is a bad row, which would have left it in force.
 */
export const missed = (history: History, shown: number, since: number, time: number): boolean => {
  const due = history.at(since)
  if (shown >= due) return false
  return history.versions.slice(due, history.at(time) + 1).every((version) => version.valid)
}

/**
 * Whether the table itself went back between two versions, as a restored backup does: a revision that had been drawn
 * before was in force again. After that a row does not show whether it is from before or after.
 */
export const wentBack = ({ versions }: History, from: number, to: number): boolean => {
  let highest = 0
  return versions.slice(0, to + 1).some(({ operation, revision }, i) => {
    const drawnBefore = revision !== 0 && (operation === "insert" ? revision <= highest : revision < highest)
    highest = Math.max(highest, revision)
    return drawnBefore && i > from
  })
}

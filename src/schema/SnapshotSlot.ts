/**
 * One slot of a snapshot: what is known of one key, and how the newest row changes it.
 *
 * The same value stays in force, as it is held; a row that does not decode never comes into force, and the value before
 * stays. Which of two rows is newer is decided by NewerRow, and what many slots have in common is in Snapshot.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { EntryRow } from "./EntryRow.ts"
import * as JsonText from "./JsonText.ts"
import * as ReaderOwned from "./ReaderOwned.ts"
import * as StoredValue from "./StoredValue.ts"

/** The part of a declared key that the core needs. */
export interface SnapshotKey {
  readonly defaultValue: unknown
  readonly decode: (json: unknown) => Result.Result<unknown, string>
}

/** What is known of one key. */
export interface Slot {
  /** The value in force, as `ReaderOwned` holds it. */
  readonly value: unknown
  /** The row whose value is in force; `undefined` for the default. */
  readonly inForce: EntryRow | undefined
  /** The last row seen: `inForce`, or a newer one that did not decode. */
  readonly seen: EntryRow | undefined
  /** Why `seen` did not decode, if it did not. */
  readonly rejection?: string
  /** Whether `inForce` is a record of the history and no row that was read. */
  readonly recalled?: boolean
  /** If `seen` did not decode and was written where there was no row: the highest revision that was gone by then. */
  readonly goneUpTo?: number
  /** The highest revision seen in this epoch, across deletions. */
  readonly highestRevision: number
  /** `State.version` when the slot was last published, deleted by us, or found without a row by a read of its key. */
  readonly publishedAt: number
  /** When a read of this key alone last confirmed it, in milliseconds of a monotonic clock; or {@link never}. */
  readonly confirmedAt: number
}

/** A row that did not decode. */
export interface Rejected {
  readonly slot: number
  readonly revision: number
  readonly reason: string
}

/** When something was confirmed that never was. Before every time of a clock: 0 is one of them. */
export const never = Number.NEGATIVE_INFINITY

/** The highest revision of a slot of which none was seen. */
export const unseen = -1

/** A slot of which nothing is known but the default. */
export const initial = (key: SnapshotKey): Slot => ({
  value: ReaderOwned.defaultOf(key),
  inForce: undefined,
  seen: undefined,
  highestRevision: unseen,
  publishedAt: 0,
  confirmedAt: never
})

/** The revision in force; 0 for the default. */
export const revision = (slot: Slot): number => slot.inForce?.revision ?? 0

/**
 * The slot once a row, or its absence, is known to be newer than what was seen; a row that does not decode is added to
 * `rejected`. Written out, without a closure or a spread: a load takes 10,000 rows.
 */
export const take = (
  key: SnapshotKey,
  slot: number,
  { confirmedAt, goneUpTo, highestRevision, inForce, recalled, seen, value }: Slot,
  row: EntryRow | undefined,
  publishedAt: number,
  rejected: Array<Rejected>
): Slot => {
  if (row === undefined) {
    return {
      value: ReaderOwned.defaultOf(key),
      inForce: undefined,
      seen: undefined,
      highestRevision,
      publishedAt,
      confirmedAt
    }
  }
  const highest = Math.max(highestRevision, row.revision)
  if (inForce !== undefined && isSameValue(row, inForce)) {
    return { value, inForce: row, seen: row, highestRevision: highest, publishedAt, confirmedAt }
  }
  const decoded = valueIn(key, row)
  if (Result.isSuccess(decoded)) {
    return {
      value: decoded.success,
      inForce: row,
      seen: row,
      highestRevision: highest,
      publishedAt,
      confirmedAt
    }
  }
  rejected.push({ slot, revision: row.revision, reason: decoded.failure })
  const gone = seen === undefined ? highestRevision : goneUpTo
  return {
    value,
    inForce,
    ...(recalled === undefined ? {} : { recalled }),
    ...(gone === undefined ? {} : { goneUpTo: gone }),
    seen: row,
    rejection: decoded.failure,
    highestRevision: highest,
    publishedAt,
    confirmedAt
  }
}

const isSameValue = (row: EntryRow, inForce: EntryRow): boolean =>
  row.problem === undefined && row.inexact === undefined && inForce.inexact === undefined
    ? JsonText.isSame(row.value, inForce.value)
    : false

/** The value of a row as it is held. Whatever the code of a schema or a value throws is the fault of this row alone. */
export const valueIn = (key: SnapshotKey, row: EntryRow): Result.Result<unknown, string> => {
  try {
    const decoded = StoredValue.decode(key, row)
    if (Result.isFailure(decoded)) return decoded
    if (typeof decoded.success !== "object" || decoded.success === null) return decoded
    const again = () => StoredValue.decode(key, { ...row, value: structuredClone(row.value) })
    return Result.succeed(ReaderOwned.hold(decoded.success, again))
  } catch {
    return Result.fail("its value threw when it was frozen")
  }
}

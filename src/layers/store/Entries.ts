/**
 * Makes the entries that an application sees from the slots of the pure core.
 */
import type * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import type { Entry } from "../../schema/Entry.ts"
import type { EntryRow } from "../../schema/EntryRow.ts"
import * as ReaderOwned from "../../schema/ReaderOwned.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import * as SnapshotSlot from "../../schema/SnapshotSlot.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"

/** A slot of a snapshot as an entry. */
export const entryOf = (snapshot: Snapshot.State, slot: number, stale: boolean, clock: Clock.Clock): Entry<unknown> => {
  const { inForce, recalled, rejection, seen, value } = snapshot.slots[slot]!
  const confirmedAt = Snapshot.confirmedAt(snapshot, slot)
  const entry = {
    value: ReaderOwned.isOwned(value) ? undefined : value,
    revision: inForce?.revision ?? 0,
    source: inForce === undefined ? "default" : recalled === true ? "history" : "stored",
    updatedAt: inForce && DateTime.makeUnsafe(inForce.updatedAt),
    updatedBy: inForce?.updatedBy,
    stale,
    confirmedAt:
      confirmedAt === SnapshotSlot.never ? undefined : shownConfirmation(clock, confirmedAt, inForce?.updatedAt),
    ...(rejection === undefined || seen === undefined
      ? {}
      : { rejected: Object.freeze({ revision: seen.revision, reason: rejection }) })
  } satisfies Entry<unknown>
  // Readers that share a read share its entry, too: nothing changes it, and each look at it makes a value of its own.
  return Object.freeze(
    ReaderOwned.isOwned(value)
      ? Object.defineProperty(entry, "value", { enumerable: true, get: () => ReaderOwned.handOut(value) })
      : entry
  )
}

/**
 * When a value was confirmed, as it is shown. The moment is that at which the database was asked, so that a write is
 * confirmed at a moment before its own `updatedAt`: then `updatedAt` is shown. A stamp that is later than this
 * process's clock (clocks differ, or it was written by hand) says nothing about when this process learned of the value.
 */
const shownConfirmation = (clock: Clock.Clock, moment: number, updatedAt: number | undefined): DateTime.Utc => {
  const confirmed = MonotonicClock.timeOfDay(clock, moment)
  return updatedAt !== undefined &&
    updatedAt > confirmed.epochMilliseconds &&
    updatedAt <= clock.currentTimeMillisUnsafe()
    ? DateTime.makeUnsafe(updatedAt)
    : confirmed
}

/** A row as the entry of a key that no replica holds. `time` is when it was asked for, by the monotonic clock. */
export const loneEntry = (
  key: SnapshotSlot.SnapshotKey,
  row: EntryRow | undefined,
  time: number,
  clock: Clock.Clock
): Entry<unknown> => entryOf(Snapshot.ofRead([key], [{ slot: 0, row }], time).state, 0, false, clock)

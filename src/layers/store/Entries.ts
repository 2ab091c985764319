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
    confirmedAt: confirmedAt === SnapshotSlot.never ? undefined : MonotonicClock.timeOfDay(clock, confirmedAt),
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

/** A row as the entry of a key that no replica holds. `time` is when it was asked for, by the monotonic clock. */
export const loneEntry = (
  key: SnapshotSlot.SnapshotKey,
  row: EntryRow | undefined,
  time: number,
  clock: Clock.Clock
): Entry<unknown> => entryOf(Snapshot.ofRead([key], [{ slot: 0, row }], time).state, 0, false, clock)

/**
 * Entries, as the application sees them, from what the pure core knows.
 */
import type * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import type { Entry } from "../../schema/Entry.ts"
import type { EntryRow } from "../../schema/EntryRow.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"

/** A slot of a snapshot as an entry. */
export const entryOf = (snapshot: Snapshot.State, slot: number, stale: boolean, clock: Clock.Clock): Entry<unknown> => {
  const { inForce, value } = snapshot.slots[slot]!
  const confirmedAt = Snapshot.confirmedAt(snapshot, slot)
  return {
    value,
    revision: inForce?.revision ?? 0,
    source: inForce === undefined ? "default" : "stored",
    updatedAt: inForce && DateTime.makeUnsafe(inForce.updatedAt),
    updatedBy: inForce?.updatedBy,
    stale,
    confirmedAt: confirmedAt === 0 ? undefined : MonotonicClock.timeOfDay(clock, confirmedAt)
  }
}

/** A row as the entry of a key that no replica holds. `time` is when it was asked for, by the monotonic clock. */
export const loneEntry = (
  key: Snapshot.SnapshotKey,
  row: EntryRow | undefined,
  time: number,
  clock: Clock.Clock
): Entry<unknown> => entryOf(Snapshot.ofRead([key], [{ slot: 0, row }], time).state, 0, false, clock)

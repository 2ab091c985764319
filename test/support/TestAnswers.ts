/** Teaches a snapshot, as tests of the pure core do. */
import type { EntryRow } from "../../src/schema/EntryRow.ts"
import * as Snapshot from "../../src/schema/Snapshot.ts"

export const at = (state: Snapshot.State, time = 0) => Snapshot.begin(state, time)

/** A whole read that found these slots to differ. */
export const whole = (
  state: Snapshot.State,
  rows: Readonly<Record<number, EntryRow | undefined>>,
  since: Snapshot.Asked = at(state)
) =>
  Snapshot.applyDiff(
    state,
    Object.entries(rows).map(([slot, row]) => ({ slot: Number(slot), row })),
    since
  )

/** A row of our own. */
export const wrote = (state: Snapshot.State, slot: number, row: EntryRow, since: Snapshot.Since = at(state)) =>
  Snapshot.applyRows(state, [{ slot, row }], since)

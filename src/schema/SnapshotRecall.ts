/**
 * What the history says was in force before rows that do not decode, applied to a snapshot (its invariant 10).
 *
 * A process asks the history once for each rejected row: `forgotten` names those rows, LastValid asks, and
 * `applyRecalled` learns the answers.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { EntryRow } from "./EntryRow.ts"
import * as ReaderOwned from "./ReaderOwned.ts"
import type { Outcome, Published, State } from "./Snapshot.ts"
import { type Slot, type SnapshotKey, unseen, valueIn } from "./SnapshotSlot.ts"

/** A row that was rejected, for which the history is to be asked. */
export interface Forgotten {
  readonly slot: number
  readonly row: EntryRow
}

/** What the history says was last in force before a row that does not decode. */
export interface Recalled extends Forgotten {
  /**
   * A value, as the row that it was; no value, since the row of that revision was deleted; or `undefined`: it cannot
   * tell.
   */
  readonly last: { readonly row: EntryRow } | { readonly deleted: number } | undefined
}

/** The rejected rows for which the history was not asked yet. */
export const forgotten = ({ slots, unrecalled }: State): ReadonlyArray<Forgotten> =>
  unrecalled.flatMap((slot) => {
    const { rejection, seen } = slots[slot]!
    return rejection === undefined || seen === undefined ? [] : [{ slot, row: seen }]
  })

/** Learns what the history says of rejected rows. */
export const applyRecalled = (state: State, recalled: ReadonlyArray<Recalled>): Outcome => {
  const slots = state.slots.slice()
  const published: Array<Published> = []
  const known = new Set<number>()
  for (const { last, row, slot } of recalled) {
    const before = slots[slot]!
    const isAnswered = before.seen?.fingerprint === row.fingerprint
    if (isAnswered || before.rejection === undefined) known.add(slot)
    if (!isAnswered || before.rejection === undefined || last === undefined) continue
    const after = takeRecalled(state.keys[slot]!, before, last)
    slots[slot] = after
    if (after !== before) published.push({ slot, before, after })
  }
  const unrecalled = state.unrecalled.filter((slot) => !known.has(slot))
  return { state: { ...state, slots, unrecalled }, published, rejected: [], inconclusive: false, regressed: false }
}

const takeRecalled = (key: SnapshotKey, before: Slot, last: NonNullable<Recalled["last"]>): Slot => {
  const { inForce, recalled: _, ...slot } = before
  if ("deleted" in last) {
    return inForce !== undefined && last.deleted >= inForce.revision
      ? { ...slot, value: ReaderOwned.defaultOf(key), inForce: undefined }
      : before
  }
  // The history may hold it and not its deletion, if the triggers were disabled then.
  if (last.row.revision <= (inForce?.revision ?? slot.goneUpTo ?? unseen)) return before
  const decoded = valueIn(key, last.row)
  return Result.isSuccess(decoded) ? { ...slot, value: decoded.success, inForce: last.row, recalled: true } : before
}

/**
 * The pure core: what a process believes of one tenant's keys, and how everything it reads or writes changes that
 * belief.
 *
 * ```
 *   feed, verify ──▶ applyDiff  (a whole read: how the table differs from the snapshot, in one statement)
 *   read-through ──▶ applyRow   (one key)                                              ──▶ next State + Outcome
 *   own write    ──▶ applyRows / applyDeletion
 *   history      ──▶ SnapshotRecall (what was last in force before a row that does not decode)
 * ```
 *
 * A read and a publication can overlap, and neither the revision (drawn before commit) nor the time of arrival tells
 * which is newer. So the state counts its publications in `version`. A reader notes the version before it asks, and a
 * slot whose `publishedAt` is higher was published while the answer was under way.
 *
 * Invariants:
 *
 * 1. **Revisions of a slot only grow** within an epoch. A row below `highestRevision` is dropped if the slot was
 *    published since the read began: it is merely old.
 * 2. **A lower row in a read that began after the last publication proves that the table itself went back** (a restored
 *    backup, a fail-over that lost commits). Only a whole read acts on it: a new epoch begins and the table is taken as
 *    it is. A read of one key reports it (`regressed`) and changes nothing.
 * 3. **A deletion is fenced.** An absence, or a row that could be older than the deletion of its key, counts only in a
 *    read that began after the last publication of that slot; otherwise it changes nothing and is `inconclusive`.
 * 4. **The same row publishes nothing.** The same revision with the same value refreshes who wrote it and when; the
 *    same revision with another value (written with the triggers disabled) is published.
 * 5. **A row that does not decode never comes into force** and is reported once; the value in force stays.
 * 6. **A new epoch disowns the old one's reads.** A read that began before it is `inconclusive`.
 * 7. **One read is one step.** All rows of a whole read are in the next state together, or none of them if one
 *    could not be judged; and a state is never changed.
 * 8. **A loaded snapshot is one state of the table, and over it what this process wrote since.** What a read of one key
 *    finds changed there was perhaps written together with other keys: it publishes nothing, and everything is read.
 *    Before the first load it may publish, and a load that began earlier counts only if it found the same.
 * 9. **A write of our own that cannot be placed disowns the snapshot** and every whole read that began before its
 *    answer: such a read may not have seen the write. Only a whole read that begins later makes the snapshot count
 *    again.
 * 10. **What the history recalls takes the place of an older value alone**, also of a default that was in force because
 *     an older row was gone, and only while the row that it was asked for is the one that was last seen. The row seen
 *     stays the one to compare with, so that no read is judged otherwise.
 *
 * @since 0.1.0
 */
import type { EntryRow } from "./EntryRow.ts"
import * as NewerRow from "./NewerRow.ts"
import { initial, never, type Rejected, revision, type Slot, type SnapshotKey, take, unseen } from "./SnapshotSlot.ts"

/** One tenant's keys at one moment. Immutable. */
export interface State {
  readonly keys: ReadonlyArray<SnapshotKey>
  readonly slots: ReadonlyArray<Slot>
  /** Counts publications, whole reads, deletions of our own, and reads of one key that found no row. */
  readonly version: number
  /** Counts how often the table was found to have gone back. */
  readonly epoch: number
  /** `version` when the epoch began. */
  readonly epochVersion: number
  /** `version` when a whole read was last learned: what it did not mention was absent then. */
  readonly wholeVersion: number
  /** `version` when the answer to a write of our own last could not be placed. */
  readonly disownedVersion: number
  /** Whether a whole read has ever been learned. */
  readonly loaded: boolean
  /** The slots that were published by reads of one key, before anything was loaded. */
  readonly readAlone: ReadonlyArray<number>
  /** The slots whose row was rejected, and for which the history was not asked since. */
  readonly unrecalled: ReadonlyArray<number>
  /** When a whole read last confirmed every key, in milliseconds of a monotonic clock; or {@link never}. */
  readonly confirmedAt: number
}

/** One way in which the table differs from the snapshot: another row, or no row. */
export interface RowDiff {
  readonly slot: number
  readonly row: EntryRow | undefined
  /** How long ago the row was written when it was read, in seconds by the database's clock; if that is known. */
  readonly age?: number | undefined
}

/** When a read began: the state's version, and the time in milliseconds of a monotonic clock. */
export interface Since {
  readonly version: number
  readonly time: number
}

/** When a whole read began, and what was known then: whatever it does not mention it found like that. */
export interface Asked extends Since {
  readonly slots: ReadonlyArray<Slot>
}

/** A slot whose value in force, or its revision, changed. */
export interface Published {
  readonly slot: number
  readonly before: Slot
  readonly after: Slot
}

/** What came of learning something. */
export interface Outcome {
  readonly state: State
  readonly published: ReadonlyArray<Published>
  readonly rejected: ReadonlyArray<Rejected>
  /** Something could not be judged, because it may be older than what was published meanwhile: read again. */
  readonly inconclusive: boolean
  /** The table went back: read the whole of it. Never set by a whole read, which begins a new epoch instead. */
  readonly regressed: boolean
}

/** @since 0.1.0 */
export const make = (keys: ReadonlyArray<SnapshotKey>): State => ({
  keys,
  slots: keys.map(initial),
  version: 0,
  epoch: 0,
  epochVersion: 0,
  wholeVersion: 0,
  disownedVersion: 0,
  loaded: false,
  readAlone: [],
  unrecalled: [],
  confirmedAt: never
})

/** To be noted before a read is sent. */
export const begin = ({ version, slots }: State, time: number): Asked => ({ version, slots, time })

/** The fingerprint of the last row seen of each slot: a whole read asks for what differs from these. */
export const fingerprints = ({ slots }: Pick<State, "slots">): ReadonlyArray<bigint | undefined> =>
  slots.map((slot) => slot.seen?.fingerprint)

/** Whether a write of our own could not be placed, and no whole read that began after its answer was applied since. */
export const isDisowned = ({ disownedVersion, wholeVersion }: State): boolean => disownedVersion > wholeVersion

/** When the slot was last confirmed, by a whole read or on its own; or {@link never}. */
export const confirmedAt = (state: State, slot: number): number =>
  Math.max(state.confirmedAt, state.slots[slot]!.confirmedAt)

/**
 * Learns a whole read: every slot not among the differences is as the table has it. Or nothing, if one is inconclusive.
 * If the read relied on what was recorded since `verifiedAt`, it confirms the other slots as of then.
 */
export const applyDiff = (
  state: State,
  diff: ReadonlyArray<RowDiff>,
  since: Asked,
  verifiedAt: number = since.time
): Outcome => {
  if (since.version < state.disownedVersion) return nothing(state, { inconclusive: true, regressed: false })
  const all = diff.concat(unmentioned(state, diff, since))
  const found = applyAll(state, all, since)
  const outcome = found.regressed ? beginEpoch(state, all, since) : found
  if (outcome.inconclusive || contradictsReads(state, all, since))
    return nothing(state, { inconclusive: true, regressed: false })
  const version = state.version + 1
  const confirmed = verifiedAt < since.time ? confirm(outcome.state, diff, since.time) : outcome.state
  const confirmedAt = Math.max(state.confirmedAt, verifiedAt)
  const learned = { ...confirmed, version, wholeVersion: version, loaded: true, readAlone: [], confirmedAt }
  return { ...outcome, state: learned }
}

/** What a whole read says if nothing else is known. */
export const ofRead = (keys: ReadonlyArray<SnapshotKey>, diff: ReadonlyArray<RowDiff>, time: number): Outcome => {
  const state = make(keys)
  return applyDiff(state, diff, begin(state, time))
}

/** Learns a read of one key: its row, or that there is none. */
export const applyRow = (state: State, slot: number, row: EntryRow | undefined, since: Since): Outcome => {
  const outcome = applyRead(state, [{ slot, row }], since)
  if (outcome.inconclusive || outcome.regressed) return outcome
  const before = state.slots[slot]!
  const publishes = outcome.state.slots[slot]!.publishedAt !== before.publishedAt
  if (publishes && state.loaded) return nothing(state, { inconclusive: true, regressed: false })
  if (publishes) return { ...outcome, state: { ...outcome.state, readAlone: [...state.readAlone, slot] } }
  // Absence has no revision that could tell it from an older row: so that no read under way can bring one in.
  return before.seen === undefined ? { ...outcome, state: touch(outcome.state, slot) } : outcome
}

/**
 * Learns rows that this process wrote in one transaction: in one step, or none of them, and then nothing counts (9).
 */
export const applyRows = (state: State, rows: ReadonlyArray<RowDiff>, since: Since): Outcome =>
  orDisown(applyRead(state, rows, since))

/** Learns that this process wrote something that no row tells of, because another writer changed it since. */
export const applyUnseen = (state: State): Outcome => orDisown(nothing(state, { inconclusive: true, regressed: false }))

const orDisown = (outcome: Outcome): Outcome => {
  if (!outcome.inconclusive && !outcome.regressed) return outcome
  const version = outcome.state.version + 1
  return { ...outcome, state: { ...outcome.state, version, disownedVersion: version } }
}

const applyRead = (state: State, rows: ReadonlyArray<RowDiff>, since: Since): Outcome => {
  const outcome = applyAll(state, rows, since)
  if (outcome.inconclusive || outcome.regressed) return nothing(state, outcome)
  return { ...outcome, state: confirm(outcome.state, rows, since.time) }
}

/**
 * Learns that this process deleted the row with the given revision (`undefined`: there was none to delete).
 */
export const applyDeletion = (state: State, slot: number, deleted: number | undefined, since: Since): Outcome => {
  const current = state.slots[slot]!
  const newest = deleted !== undefined && deleted >= current.highestRevision && since.version >= state.epochVersion
  if (!newest) return orDisown(applyRow(state, slot, undefined, since))
  // Nothing newer than the deleted row was seen, so the deletion is the newest thing known whatever arrived meanwhile.
  const fenced = withSlot(state, slot, { ...current, highestRevision: deleted })
  const outcome = applyRows(fenced, [{ slot, row: undefined }], begin(state, since.time))
  // Even if the default was in force already, so that no read under way can bring in a row that is gone.
  return { ...outcome, state: touch(outcome.state, slot) }
}

/** Nothing was learned. */
export const nothingNew = (state: State): Outcome => nothing(state, { inconclusive: false, regressed: false })

const nothing = (state: State, { inconclusive, regressed }: Pick<Outcome, "inconclusive" | "regressed">): Outcome => ({
  state,
  published: [],
  rejected: [],
  inconclusive,
  regressed
})

/**
 * The slots that were published since a whole read began and that it does not mention: it found them as they were then.
 */
const unmentioned = (state: State, diff: ReadonlyArray<RowDiff>, since: Asked): ReadonlyArray<RowDiff> => {
  if (state.version === since.version) return []
  const mentioned = new Set(diff.map(({ slot }) => slot))
  return [...state.slots.keys()]
    .filter((slot) => state.slots[slot]!.publishedAt > since.version && !mentioned.has(slot))
    .map((slot) => ({ slot, row: since.slots[slot]!.seen }))
}

/**
 * Whether a load found another row of some key than a read of that key alone, which was published after the load began.
 */
const contradictsReads = (state: State, found: ReadonlyArray<RowDiff>, since: Since): boolean =>
  state.readAlone.length > 0 &&
  found.some(({ row, slot }) => {
    const { seen, publishedAt } = state.slots[slot]!
    return publishedAt > since.version && row?.fingerprint !== seen?.fingerprint && state.readAlone.includes(slot)
  })

const applyAll = (state: State, diff: ReadonlyArray<RowDiff>, since: Since): Outcome => {
  const version = state.version + 1
  const slots = state.slots.slice()
  const published: Array<Published> = []
  const rejected: Array<Rejected> = []
  let publishedAt = false
  let inconclusive = false
  let regressed = false
  for (const { row, slot } of diff) {
    const before = slots[slot]!
    const verdict = NewerRow.judge(state, before, row, since.version)
    inconclusive ||= verdict === "inconclusive"
    regressed ||= verdict === "regressed"
    if (verdict !== "publish" && verdict !== "delete") continue
    const after = take(state.keys[slot]!, slot, before, row, version, rejected)
    publishedAt = true
    slots[slot] = after
    if (revision(after) !== revision(before) || after.value !== before.value) published.push({ slot, before, after })
  }
  const unrecalled =
    rejected.length === 0 ? state.unrecalled : [...new Set([...state.unrecalled, ...rejected.map(({ slot }) => slot)])]
  const next = publishedAt ? { ...state, slots, version, unrecalled } : state
  return { state: next, published, rejected, inconclusive, regressed }
}

// Drops the fences of all differing slots that the read can speak for, so that the table is taken as it is there.
const beginEpoch = (state: State, diff: ReadonlyArray<RowDiff>, since: Since): Outcome => {
  const slots = state.slots.slice()
  for (const { slot } of diff) {
    const current = slots[slot]!
    if (current.publishedAt <= since.version) slots[slot] = { ...current, highestRevision: unseen, goneUpTo: unseen }
  }
  const outcome = applyAll({ ...state, slots }, diff, since)
  return { ...outcome, state: { ...outcome.state, epoch: state.epoch + 1, epochVersion: state.version + 1 } }
}

/** What was read on its own is confirmed, whatever is said of the rest. */
const confirm = (state: State, read: ReadonlyArray<RowDiff>, time: number): State => {
  const earlier = read.filter(({ slot }) => state.slots[slot]!.confirmedAt < time)
  if (earlier.length === 0) return state
  const slots = state.slots.slice()
  for (const { slot } of earlier) slots[slot] = { ...slots[slot]!, confirmedAt: time }
  return { ...state, slots }
}

const withSlot = (state: State, slot: number, next: Slot): State => ({ ...state, slots: state.slots.with(slot, next) })

const touch = (state: State, slot: number): State => {
  const version = state.version + 1
  return { ...withSlot(state, slot, { ...state.slots[slot]!, publishedAt: version }), version }
}

/**
 * The live state of one tenant: the pure core's state, and the link to the database.
 *
 * It is mutable, and changed in synchronous steps only, so that a reader on another fiber sees one state or the next.
 */
import type * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Semaphore from "effect/Semaphore"
import type { ConfigSnapshot } from "../../schema/ConfigSnapshot.ts"
import type { Entry } from "../../schema/Entry.ts"
import type { EntryRow } from "../../schema/EntryRow.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { type Link, readsSnapshot, stateOf, type TenantState } from "../../schema/TenantStatus.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"

export interface Replica {
  /** The values in force, by slot: those of `snapshot`, for reads. */
  values: ReadonlyArray<unknown>
  readonly tenant: TenantId
  snapshot: Snapshot.State
  /** `snapshot` as it is handed out while it is current, made when first asked for. */
  image: ConfigSnapshot | undefined
  link: Link
  state: TenantState
  /** Whether the snapshot may answer: what a read looks at. */
  answering: boolean
  /** Forgotten: should the tenant come back, it has another scope. */
  retired: boolean
  /** Reads that the snapshot answered and that no metric has counted yet. */
  hits: number
  /** Has everything read once more on the session of the feed; where there is none, the next one begins with that. */
  readAgain: () => void
  /** Held while everything is read because one answer could not be placed. */
  readonly settling: Semaphore.Semaphore
}

/** What is known before anything was read: the same for every tenant, whose scopes share it. */
export interface Defaults {
  readonly snapshot: Snapshot.State
  /** By slot. */
  readonly values: ReadonlyArray<unknown>
}

export const defaultsOf = (keys: ReadonlyArray<Snapshot.SnapshotKey>): Defaults => ({
  snapshot: Snapshot.make(keys),
  values: keys.map(({ defaultValue }) => defaultValue)
})

/** A scope of which nothing is known but the defaults. */
export const make = (tenant: TenantId, { snapshot, values }: Defaults): Replica => ({
  values,
  tenant,
  snapshot,
  image: undefined,
  link: { suspended: false, loaded: false, connected: false, failures: 0, overdue: false },
  state: "activating",
  answering: false,
  retired: false,
  hits: 0,
  readAgain: () => {},
  settling: Semaphore.makeUnsafe(1)
})

/** Changes what is known of the link, and so who answers reads. */
export const setCondition = (scope: Replica, change: Partial<Link>, staleAfterFailures: number): void => {
  scope.link = { ...scope.link, ...change }
  scope.state = stateOf(scope.link, staleAfterFailures)
  scope.answering = readsSnapshot(scope.state)
  scope.image = undefined
}

/** Puts what was learned in force, in one step. */
export const publish = (scope: Replica, outcome: Snapshot.Outcome): void => {
  scope.snapshot = outcome.state
  scope.image = undefined
  if (outcome.published.length === 0) return
  const values = scope.values.slice()
  for (const { after, slot } of outcome.published) values[slot] = after.value
  scope.values = values
}

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

/** A row as the entry of a key that no scope holds. `time` is when it was asked for, by the monotonic clock. */
export const loneEntry = (
  key: Snapshot.SnapshotKey,
  row: EntryRow | undefined,
  time: number,
  clock: Clock.Clock
): Entry<unknown> => entryOf(Snapshot.ofRead([key], [{ slot: 0, row }], time).state, 0, false, clock)

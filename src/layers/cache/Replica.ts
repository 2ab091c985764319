/**
 * The live state of one tenant: the pure core's state, and the condition to the database.
 *
 * It is mutable, and changed in synchronous steps only, so that a reader on another fiber sees one state or the next.
 */
import * as Semaphore from "effect/Semaphore"
import type { ConfigSnapshot } from "../../schema/ConfigSnapshot.ts"
import * as Freshness from "../../schema/Freshness.ts"
import * as ReaderOwned from "../../schema/ReaderOwned.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import type * as SnapshotSlot from "../../schema/SnapshotSlot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { type Condition, readsSnapshot, stateOf, type TenantState } from "../../schema/TenantStatus.ts"

export interface Replica {
  readonly tenant: TenantId
  /** The values in force, by slot: those of `snapshot`, as they are held for reads. */
  values: ReadonlyArray<unknown>
  snapshot: Snapshot.State
  /** `snapshot` as it is handed out while it is current, made when first asked for. */
  image: ConfigSnapshot | undefined
  condition: Condition
  state: TenantState
  /** Until when the snapshot may answer, by the monotonic clock; `-Infinity` if it may not: what a read looks at. */
  answersUntil: number
  /** Forgotten: should the tenant come back, it has another replica. */
  retired: boolean
  /** Reads that the snapshot answered and that no metric has counted yet. */
  hits: number
  /**
   * Has everything read once more on the session of the feed. Does nothing without a session: the next one begins with
   * a read.
   */
  readAgain: () => void
  /** Held while everything is read because one answer was inconclusive. */
  readonly settling: Semaphore.Semaphore
}

/** What is known before anything was read: the same for every tenant, whose replicas share it. */
export interface Defaults {
  readonly snapshot: Snapshot.State
  /** By slot. */
  readonly values: ReadonlyArray<unknown>
}

export const defaultsOf = (keys: ReadonlyArray<SnapshotSlot.SnapshotKey>): Defaults => ({
  snapshot: Snapshot.make(keys),
  values: keys.map(ReaderOwned.defaultOf)
})

/** A replica of which nothing is known but the defaults. */
export const make = (tenant: TenantId, { snapshot, values }: Defaults): Replica => ({
  tenant,
  values,
  snapshot,
  image: undefined,
  condition: { suspended: false, loaded: false, connected: false, failures: 0, overdue: false },
  state: "activating",
  answersUntil: -Infinity,
  retired: false,
  hits: 0,
  readAgain: () => {},
  settling: Semaphore.makeUnsafe(1)
})

/** How long a replica that nothing confirms goes on answering. */
export interface Bounds {
  readonly staleAfterFailures: number
  /** In milliseconds. */
  readonly maxStaleness: number
}

/** Changes what is known of the condition, and so who answers reads. */
export const setCondition = (replica: Replica, change: Partial<Condition>, bounds: Bounds): void => {
  replica.condition = { ...replica.condition, ...change }
  replica.state = stateOf(replica.condition, bounds.staleAfterFailures)
  replica.image = undefined
  setAnswersUntil(replica, bounds)
}

/** Puts an outcome in force, in one step. */
export const publish = (replica: Replica, outcome: Snapshot.Outcome, bounds: Bounds): void => {
  replica.snapshot = outcome.state
  replica.image = undefined
  setAnswersUntil(replica, bounds)
  if (outcome.published.length === 0) return
  const values = replica.values.slice()
  for (const { after, slot } of outcome.published) values[slot] = after.value
  replica.values = values
}

const setAnswersUntil = (replica: Replica, { maxStaleness }: Bounds): void => {
  replica.answersUntil = readsSnapshot(replica.state) ? Freshness.overdueAt(replica.snapshot, maxStaleness) : -Infinity
}

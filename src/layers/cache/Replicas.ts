/**
 * The replicas of all tenants, and the two ways in which they change: an answer is applied, or the condition changes.
 *
 * Both happen here and nowhere else. So every answer is published, announced to subscribers, reported and counted in
 * the same way, whether it came from the feed, from a read or from a write of this process.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { EntryRow } from "../../schema/EntryRow.ts"
import * as Freshness from "../../schema/Freshness.ts"
import * as KeyHints from "../../schema/KeyHints.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import * as SnapshotRecall from "../../schema/SnapshotRecall.ts"
import type * as SnapshotSlot from "../../schema/SnapshotSlot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Condition, TenantStatus } from "../../schema/TenantStatus.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as TickClock from "../runtime/TickClock.ts"
import * as Entries from "../store/Entries.ts"
import * as LastValid from "../store/LastValid.ts"
import * as RejectedRows from "../store/RejectedRows.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import * as Fanout from "./Fanout.ts"
import * as Replica from "./Replica.ts"
import { ReplicaView } from "./ReplicaView.ts"
import type { InForce, Subscription } from "./Subscription.ts"

export interface ReplicasOptions extends Replica.Bounds {
  readonly maxEntriesPerTenant: number
}

export type Replicas = Effect.Success<ReturnType<typeof make>>

export const make = Effect.fnUntraced(function* (options: ReplicasOptions) {
  const registry = yield* KeyRegistry
  const board = yield* StatusBoard
  const telemetry = yield* Telemetry
  const lastValid = yield* LastValid.make
  const clock = yield* Clock.Clock
  const now = TickClock.memoize(() => MonotonicClock.millisOf(clock))

  /** The keys that replicas hold; those beyond the limit are read through. */
  const dropped = Math.max(registry.keys.length - options.maxEntriesPerTenant, 0)
  // The registry's own list if none is dropped: what depends on the keys alone is remembered for a list.
  const keys: ReadonlyArray<ConfigKey.Any> = dropped > 0 ? registry.keys.slice(0, -dropped) : registry.keys
  const defaults = Replica.defaultsOf(keys)
  if (dropped > 0) {
    yield* Effect.logWarning("More keys are declared than maxEntriesPerTenant: the last ones are not cached").pipe(
      Effect.annotateLogs({ keys: registry.keys.length, cached: keys.length })
    )
  }

  const replicas = new Map<TenantId, Replica.Replica>()
  const subscribers = Fanout.make<ConfigKey.Any, TenantId, InForce>()
  const watchers = Fanout.make<string, void, void>()
  const watchTopic = (tenant: TenantId, slot: number) => `${slot}/${tenant}`

  /** Gives the subscribers of a key what is in force for a tenant. */
  const announce = ({ tenant }: Replica.Replica, slot: number, after: SnapshotSlot.Slot) =>
    subscribers.publish(keys[slot]!, tenant, inForceOf(after, false))

  /** Whether subscribers are given changes of the tenant: not before it is loaded, nor while it is suspended. */
  const isAnnounced = ({ condition }: Replica.Replica) => condition.loaded && !condition.suspended

  /** Offers what is in force for a tenant that was loaded to those who subscribed to the key. */
  const announceLoaded = (
    { snapshot, tenant }: Replica.Replica,
    key: ConfigKey.Any,
    offer: (tenant: TenantId, inForce: InForce) => void
  ) => {
    const slot = slotOf(key)
    if (slot === undefined) return
    offer(tenant, inForceOf(snapshot.slots[slot]!, true))
  }

  const report = (
    { tenant }: Replica.Replica,
    rejected: ReadonlyArray<SnapshotSlot.Rejected>,
    found: ReadonlyArray<LastValid.Found>
  ) => Effect.andThen(telemetry.rejected(tenant, rejected.length), RejectedRows.warn(tenant, keys, rejected, found))

  const reportWentBack = (replica: Replica.Replica) =>
    Effect.logWarning("The table went back to an earlier state; it is taken as it is").pipe(
      Effect.annotateLogs({ tenant: replica.tenant, epoch: replica.snapshot.epoch }),
      Effect.andThen(setCondition(replica, {}))
    )

  /**
   * Puts an outcome in force. Subscribers are given every change of a tenant that is loaded, and own writes before
   * that. They are given what a load found once the tenant counts as loaded.
   */
  const publish = (replica: Replica.Replica, outcome: Snapshot.Outcome, source: "read" | "write") => {
    const before = replica.snapshot
    Replica.publish(replica, outcome, options)
    if (replicas.get(replica.tenant) !== replica) return
    board.learned(replica.tenant, outcome.state)
    if (before.loaded && outcome.published.length > 0) {
      telemetry.changed(replica.tenant, source === "write" ? "own" : "other", outcome.published.length)
    }
    const announced = isAnnounced(replica) || (source === "write" && !replica.condition.suspended)
    if (announced && !subscribers.isIdle()) {
      for (const { after, slot } of outcome.published) announce(replica, slot, after)
    }
    if (!watchers.isIdle()) {
      const firstLoad = outcome.state.loaded && !before.loaded
      const changed = firstLoad ? keys.keys() : outcome.published.map(({ slot }) => slot)
      for (const slot of changed) watchers.publish(watchTopic(replica.tenant, slot), undefined, undefined)
    }
  }

  /**
   * Applies an answer to the replica's state as it is now. Before the first load the history is asked of rejected rows
   * first, so that no reader sees a default in the place of the last valid value; later nothing waits for that. It is
   * asked of these slots alone, or of all: an answer about one key does not wait for what is not known of others.
   */
  const apply = (
    replica: Replica.Replica,
    applyTo: (state: Snapshot.State) => Snapshot.Outcome,
    source: "read" | "write",
    among?: ReadonlyArray<number>
  ): Effect.Effect<Snapshot.Outcome> =>
    Effect.suspend(() => {
      const before = replica.snapshot
      const outcome = applyTo(before)
      const unknown = outcome.inconclusive ? [] : SnapshotRecall.forgotten(outcome.state)
      const forgotten = among === undefined ? unknown : unknown.filter(({ slot }) => among.includes(slot))
      if (before.loaded || forgotten.length === 0) publish(replica, outcome, source)
      const wentBack = outcome.state.epoch !== before.epoch
      const reported = wentBack ? Effect.suspend(() => reportWentBack(replica)) : Effect.void
      if (forgotten.length === 0) return wentBack ? Effect.as(reported, outcome) : Effect.succeed(outcome)
      return Effect.flatMap(lastValid.recall(replica.tenant, keys, forgotten), (found) => {
        const now = replica.snapshot
        // Other answers may have been applied meanwhile: this one is judged anew.
        const again = before.loaded ? Snapshot.nothingNew(now) : applyTo(now)
        const recalled = SnapshotRecall.applyRecalled(again.state, found)
        const both = { ...again, state: recalled.state, published: [...again.published, ...recalled.published] }
        publish(replica, both, source)
        const result = before.loaded ? { ...outcome, state: both.state } : both
        const rejected = before.loaded ? outcome.rejected : again.rejected
        return report(replica, rejected, found).pipe(Effect.andThen(reported), Effect.as(result))
      })
    })

  /** To be noted before everything is read: what is known, and when that was. */
  const begin = (replica: Replica.Replica) =>
    Effect.map(MonotonicClock.millis, (time) => Snapshot.begin(replica.snapshot, time))

  /**
   * Applies how the table differs from what was known when it was asked; nothing of it if some of it is inconclusive.
   * `verifiedAt`: when the whole table was last compared, if that was not then.
   */
  const applyDiff = (
    replica: Replica.Replica,
    diff: ReadonlyArray<Snapshot.RowDiff>,
    asked: Snapshot.Asked,
    verifiedAt?: number
  ) => apply(replica, (state) => Snapshot.applyDiff(state, diff, asked, verifiedAt), "read")

  /** Changes the condition, and puts the state that follows from it on the board. */
  const setCondition = (
    replica: Replica.Replica,
    change: Partial<Condition>,
    details: Partial<Pick<TenantStatus, "failures" | "lastError">> = {}
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      const wasAnnounced = isAnnounced(replica)
      Replica.setCondition(replica, change, options)
      // A replica that was forgotten meanwhile has no state on the board.
      if (replicas.get(replica.tenant) !== replica) return Effect.void
      if (!wasAnnounced && isAnnounced(replica)) {
        for (const key of subscribers.topics()) {
          announceLoaded(replica, key, (tenant, inForce) => subscribers.publish(key, tenant, inForce))
        }
      }
      return board.update(replica.tenant, { state: replica.state, epoch: replica.snapshot.epoch, ...details })
    })

  /** After a suspension the snapshot is as old as that: it answers again only once it was reconciled. */
  const resume = (replica: Replica.Replica) =>
    setCondition(replica, { suspended: false, loaded: replica.condition.loaded && !replica.condition.suspended })

  const isOverdue = (snapshot: Snapshot.State, time: number) =>
    Freshness.isOverdue(snapshot, time, options.maxStaleness)

  const isPast = (time: number) => Freshness.isStale(time, now(), options.maxStaleness)

  /** What the database just answered; stale if it was asked longer ago than the bound, as by a read that was joined. */
  const answered = (replica: Replica.Replica, slot: number) =>
    Entries.entryOf(replica.snapshot, slot, isPast(Snapshot.confirmedAt(replica.snapshot, slot)), clock)

  /** The same of a key that no replica holds. `time` is when it was asked for. */
  const answeredAlone = (key: ConfigKey.Any, row: EntryRow | undefined, time: number) => ({
    ...Entries.loneEntry(key, row, time, clock),
    stale: isPast(time)
  })

  /** The entries of keys that no replica holds, whose rows were asked for at `time`. */
  const readAlone = (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    rows: ReadonlyArray<Snapshot.RowDiff>,
    time: number
  ) =>
    Effect.map(lastValid.ofRead(tenant, keys, rows, time), ({ state }) =>
      keys.map((_, slot) => Entries.entryOf(state, slot, isPast(time), clock))
    )

  const slotOf = (key: ConfigKey.Any) => {
    const hinted = KeyHints.slotIn(keys, key)
    if (hinted !== undefined) return hinted
    const slot = registry.slotOf(key)
    return slot !== undefined && slot < keys.length ? slot : undefined
  }

  const mayAnswer = (replica: Replica.Replica) => now() < replica.answersUntil

  const views = new Map<TenantId, ReplicaView>()
  const retire = (tenant: TenantId) => {
    views.get(tenant)?.retire()
    views.delete(tenant)
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => [...views.keys()].forEach(retire)))

  return {
    keys,
    /** The slot of a key in every replica; `undefined` if it was not declared, or is beyond the limit. */
    slotOf,
    dropped,
    /** Subscribes to a key in every replica; begins with what is in force in those that are loaded. */
    subscribe: (key: ConfigKey.Any, subscription: Subscription) =>
      Effect.tap(subscribers.subscribe(key, subscription), () =>
        Effect.sync(() => {
          for (const replica of replicas.values())
            if (isAnnounced(replica)) announceLoaded(replica, key, subscription.offer)
        })
      ),
    watchers,
    watchTopic,
    apply,
    begin,
    applyDiff,
    setCondition,
    resume,
    clock,
    isOverdue,
    answered,
    answeredAlone,
    readAlone,
    lastValid,
    /** Whether the snapshot may answer: what every read looks at, without any I/O or allocation. */
    mayAnswer,
    /** Whether the snapshot is kept current. */
    isLive: (replica: Replica.Replica) => replica.state === "live" && mayAnswer(replica),
    get: (tenant: TenantId) => replicas.get(tenant),
    /** The tenant's replica, as reads look at it. */
    view: (tenant: TenantId) => views.get(tenant),
    /** The tenant's replica; made if there is none. */
    open: (tenant: TenantId) => {
      const known = replicas.get(tenant)
      if (known !== undefined) return known
      const replica = Replica.make(tenant, defaults)
      replicas.set(tenant, replica)
      views.set(tenant, new ReplicaView({ mayAnswer, slotOf }, replica))
      telemetry.observed(tenant, replica)
      return replica
    },
    forget: (tenant: TenantId) =>
      Effect.suspend(() => {
        const replica = replicas.get(tenant)
        if (replica !== undefined) replica.retired = true
        replicas.delete(tenant)
        retire(tenant)
        return board.remove(tenant)
      })
  }
})

/** What a slot has in force, as subscribers are shown it. */
const inForceOf = ({ inForce, value }: SnapshotSlot.Slot, loaded: boolean): InForce => ({
  value,
  revision: inForce?.revision ?? 0,
  updatedAt: inForce && DateTime.makeUnsafe(inForce.updatedAt),
  updatedBy: inForce?.updatedBy,
  loaded
})

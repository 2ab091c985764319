/**
 * The scopes of all tenants, and the two ways in which they change: something was learned, or the link changed.
 *
 * Both happen here and nowhere else, so that whatever is learned, from whomever, is published, announced to subscribers,
 * reported and counted alike.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { Change } from "../../schema/Entry.ts"
import type { EntryRow } from "../../schema/EntryRow.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Link, TenantStatus } from "../../schema/TenantStatus.ts"
import type { ReadDiff } from "../../services/EntryStore.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as TickClock from "../runtime/TickClock.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import * as Fanout from "./Fanout.ts"
import * as Replica from "./Replica.ts"
import { ReplicaView } from "./ReplicaView.ts"

export interface ReplicasOptions {
  readonly maxEntriesPerTenant: number
  readonly staleAfterFailures: number
  /** In milliseconds. */
  readonly maxStaleness: number
}

export type Replicas = Effect.Success<ReturnType<typeof make>>

export const make = Effect.fnUntraced(function* (options: ReplicasOptions) {
  const registry = yield* KeyRegistry
  const board = yield* StatusBoard
  const telemetry = yield* Telemetry
  const clock = yield* Clock.Clock
  const now = TickClock.memoize(() => MonotonicClock.millisOf(clock))

  /** The keys that scopes hold; those beyond the limit are read through. */
  const keys: ReadonlyArray<ConfigKey.Any> = registry.keys.slice(0, options.maxEntriesPerTenant)
  const defaults = Replica.defaultsOf(keys)
  const dropped = registry.keys.length - keys.length
  if (dropped > 0) {
    yield* Effect.logWarning("More keys are declared than maxEntriesPerTenant: the last ones are not cached").pipe(
      Effect.annotateLogs({ keys: registry.keys.length, cached: keys.length })
    )
  }

  const scopes = new Map<TenantId, Replica.Replica>()
  const subscribers = Fanout.make<ConfigKey.Any, TenantId, Change<any>>()
  const watchers = Fanout.make<string, void, void>()
  const watchTopic = (tenant: TenantId, slot: number) => `${slot}/${tenant}`

  const announce = (scope: Replica.Replica, { after, before, slot }: Snapshot.Published) => {
    const key = keys[slot]!
    subscribers.publish(key, scope.tenant, {
      tenant: scope.tenant,
      namespace: key.namespace,
      key: key.key,
      value: after.value,
      revision: Snapshot.revision(after),
      previous: before.value
    })
  }

  const report = (scope: Replica.Replica, rejected: ReadonlyArray<Snapshot.Rejected>) =>
    Effect.andThen(
      telemetry.rejected(scope.tenant, rejected.length),
      Effect.forEach(
        rejected,
        ({ reason, revision, slot }) =>
          Effect.logWarning("A stored value does not fit its key's schema; the value in force stays").pipe(
            Effect.annotateLogs({
              tenant: scope.tenant,
              key: `${keys[slot]!.namespace}/${keys[slot]!.key}`,
              revision,
              reason
            })
          ),
        { discard: true }
      )
    )

  const reportWentBack = (scope: Replica.Replica) =>
    Effect.logWarning("The table went back to an earlier state; it is taken as it is").pipe(
      Effect.annotateLogs({ tenant: scope.tenant, epoch: scope.snapshot.epoch }),
      Effect.andThen(setCondition(scope, {}))
    )

  /**
   * Learns something: `learn` is given the scope's state as it is now. Subscribers hear of every change but those of the
   * first load and of reads before it: they were in force before this process looked.
   */
  const absorb = (
    scope: Replica.Replica,
    learn: (state: Snapshot.State) => Snapshot.Outcome,
    source: "read" | "write"
  ): Effect.Effect<Snapshot.Outcome> =>
    Effect.suspend(() => {
      const before = scope.snapshot
      const outcome = learn(before)
      Replica.publish(scope, outcome)
      if (scopes.get(scope.tenant) === scope) {
        board.confirmed(scope.tenant, outcome.state.confirmedAt)
        if ((before.loaded || source === "write") && !subscribers.isIdle()) {
          for (const published of outcome.published) announce(scope, published)
        }
        if (!watchers.isIdle()) {
          const firstLoad = outcome.state.loaded && !before.loaded
          const changed = firstLoad ? keys.keys() : outcome.published.map(({ slot }) => slot)
          for (const slot of changed) watchers.publish(watchTopic(scope.tenant, slot), undefined, undefined)
        }
      }
      const wentBack = outcome.state.epoch !== before.epoch
      return outcome.rejected.length === 0 && !wentBack
        ? Effect.succeed(outcome)
        : report(scope, outcome.rejected).pipe(
            Effect.andThen(wentBack ? reportWentBack(scope) : Effect.void),
            Effect.as(outcome)
          )
    })

  /** Reads everything and learns it. Nothing was learned where some of it could not be judged: then it is `again`. */
  const reconcile = Effect.fnUntraced(function* (scope: Replica.Replica, differencesOf: ReadDiff) {
    const since = Snapshot.begin(scope.snapshot, yield* MonotonicClock.millis)
    const differences = yield* differencesOf(keys, Snapshot.fingerprints(scope.snapshot))
    const { again, published } = yield* absorb(scope, (state) => Snapshot.learn(state, differences, since), "read")
    return { again, differences, published, took: (yield* MonotonicClock.millis) - since.time }
  })

  /** Changes the link, and puts the state that follows from it on the board. */
  const setCondition = (
    scope: Replica.Replica,
    change: Partial<Link>,
    details: Partial<Pick<TenantStatus, "failures" | "lastError">> = {}
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      Replica.setCondition(scope, change, options.staleAfterFailures)
      // A scope that was forgotten meanwhile has no state to tell.
      if (scopes.get(scope.tenant) !== scope) return Effect.void
      return board.update(scope.tenant, { state: scope.state, epoch: scope.snapshot.epoch, ...details })
    })

  /** After a suspension the snapshot is as old as that: it answers again only once it was reconciled. */
  const resume = (scope: Replica.Replica) =>
    setCondition(scope, { suspended: false, loaded: scope.link.loaded && !scope.link.suspended })

  /** Whether something was confirmed too long ago to be trusted. */
  const isOverdue = (snapshot: Snapshot.State, time: number) => time - snapshot.confirmedAt >= options.maxStaleness

  const isPast = (time: number) => now() - time >= options.maxStaleness

  /** What the database just answered; stale where it was asked longer ago than the bound, as by a read that was joined. */
  const answered = (scope: Replica.Replica, slot: number) =>
    Replica.entryOf(scope.snapshot, slot, isPast(Snapshot.confirmedAt(scope.snapshot, slot)), clock)

  /** The same of a key that no scope holds. `time` is when it was asked for. */
  const answeredAlone = (key: ConfigKey.Any, row: EntryRow | undefined, time: number) => ({
    ...Replica.loneEntry(key, row, time, clock),
    stale: isPast(time)
  })

  const slotOf = (key: ConfigKey.Any) => {
    if (keys[key.slotHint] === key) return key.slotHint
    const slot = registry.slotOf(key)
    return slot !== undefined && slot < keys.length ? slot : undefined
  }

  const mayAnswer = (scope: Replica.Replica) => scope.answering && !isOverdue(scope.snapshot, now())

  const views = new Map<TenantId, ReplicaView>()
  const retire = (tenant: TenantId) => {
    views.get(tenant)?.retire()
    views.delete(tenant)
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => [...views.keys()].forEach(retire)))

  return {
    keys,
    /** The slot of a key in every scope; `undefined` where it was not declared, or is beyond the limit. */
    slotOf,
    dropped,
    subscribers,
    watchers,
    watchTopic,
    absorb,
    reconcile,
    setCondition,
    resume,
    clock,
    isOverdue,
    answered,
    answeredAlone,
    /** Whether the snapshot may answer: what every read looks at, without any I/O or allocation. */
    mayAnswer,
    /** Whether the snapshot is kept current. */
    isLive: (scope: Replica.Replica) => scope.state === "live" && !isOverdue(scope.snapshot, now()),
    get: (tenant: TenantId) => scopes.get(tenant),
    /** The tenant's scope, as reads look at it. */
    view: (tenant: TenantId) => views.get(tenant),
    /** The tenant's scope, made where there is none. */
    open: (tenant: TenantId) => {
      const known = scopes.get(tenant)
      if (known !== undefined) return known
      const scope = Replica.make(tenant, defaults)
      scopes.set(tenant, scope)
      views.set(tenant, new ReplicaView({ mayAnswer, slotOf }, scope))
      telemetry.observed(tenant, scope)
      return scope
    },
    forget: (tenant: TenantId) =>
      Effect.suspend(() => {
        const scope = scopes.get(tenant)
        if (scope !== undefined) scope.retired = true
        scopes.delete(tenant)
        retire(tenant)
        return board.remove(tenant)
      })
  }
})

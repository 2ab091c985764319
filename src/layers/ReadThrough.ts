/**
 * Reads that go to the database: shared, bounded, and learned from.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import type { Entry } from "../schema/Entry.ts"
import { EntryStoreError, Unanswered } from "../schema/EntryStoreError.ts"
import * as Snapshot from "../schema/Snapshot.ts"
import type { TenantId } from "../schema/TenantId.ts"
import { EntryStore } from "../services/EntryStore.ts"
import type { Scopes } from "./Scopes.ts"
import { Telemetry } from "./Telemetry.ts"
import { entryOf, loneEntry, type TenantScope } from "./TenantScope.ts"

/** Reads of one tenant that run at once. Its pool has 4 connections by default: twice that keeps them busy. */
const readsPerTenant = 8

/** How long a read may wait, for its turn and for its answer. */
const readTimeout = "5 seconds"

/** How often a read is made anew because something was published while it was under way. */
const attempts = 4

type Answer = Deferred.Deferred<Entry<unknown>, EntryStoreError>

/** The reads of one tenant that are under way. */
interface Lane {
  readonly running: Map<ConfigKey.Any, Answer>
  readonly turns: Semaphore.Semaphore
}

export type ReadThrough = Effect.Success<ReturnType<typeof make>>

export const make = Effect.fnUntraced(function* (scopes: Scopes) {
  const store = yield* EntryStore
  const telemetry = yield* Telemetry
  const fibers = yield* FiberSet.make()
  const lanes = new Map<TenantId, Lane>()

  /** Reads everything that differs through the store, until nothing is left that could not be judged. */
  const settle = (scope: TenantScope): Effect.Effect<void, EntryStoreError> =>
    Effect.gen(function* () {
      const since = Snapshot.begin(scope.snapshot, yield* Clock.currentTimeMillis)
      const known = Snapshot.fingerprints(scope.snapshot)
      const differences = yield* store.differences(scope.tenant)(scopes.keys, known)
      const outcome = yield* scopes.absorb(scope, (state) => Snapshot.learn(state, differences, since), "read")
      return outcome.again
    }).pipe(Effect.repeat({ while: (again) => again, times: attempts }), Effect.asVoid)

  /** What came of one key; where it cannot be judged on its own, everything is read. */
  const learn = (
    scope: TenantScope,
    learnOne: (state: Snapshot.State) => Snapshot.Outcome,
    source: "read" | "write"
  ): Effect.Effect<void, EntryStoreError> =>
    Effect.flatMap(scopes.absorb(scope, learnOne, source), ({ again, behind }) =>
      again || behind ? settle(scope) : Effect.void
    )

  const read = (tenant: TenantId, key: ConfigKey.Any): Effect.Effect<Entry<unknown>, EntryStoreError> =>
    Effect.gen(function* () {
      const scope = scopes.get(tenant)
      const slot = scopes.slotOf(key)
      const time = yield* Clock.currentTimeMillis
      const since = scope === undefined ? { clock: 0, time } : Snapshot.begin(scope.snapshot, time)
      const row = Option.getOrUndefined(yield* store.read(tenant, key))
      if (scope === undefined || slot === undefined) return loneEntry(key, row, time)
      yield* learn(scope, (state) => Snapshot.learnRow(state, slot, row, since), "read")
      return entryOf(scope.snapshot, slot, false)
    })

  const start = (tenant: TenantId, lane: Lane, key: ConfigKey.Any): Effect.Effect<Answer> => {
    const answer: Answer = Deferred.makeUnsafe()
    lane.running.set(key, answer)
    return lane.turns.withPermit(read(tenant, key)).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          Deferred.doneUnsafe(answer, exit)
          finish(tenant, lane, key, answer)
        })
      ),
      (effect) => FiberSet.run(fibers, effect),
      Effect.as(answer)
    )
  }

  const finish = (tenant: TenantId, lane: Lane, key: ConfigKey.Any, answer: unknown) => {
    if (lane.running.get(key) === answer) lane.running.delete(key)
    if (lane.running.size === 0 && lanes.get(tenant) === lane) lanes.delete(tenant)
  }

  /** Everything in one statement: learned by the tenant's scope, or kept by nobody where there is none. */
  const whole = (tenant: TenantId): Effect.Effect<Snapshot.State, EntryStoreError> =>
    Effect.suspend(() => {
      const scope = scopes.get(tenant)
      if (scope !== undefined) return Effect.map(settle(scope), () => scope.snapshot)
      const nothing = Snapshot.make(scopes.keys)
      return Effect.gen(function* () {
        const since = Snapshot.begin(nothing, yield* Clock.currentTimeMillis)
        const differences = yield* store.differences(tenant)(scopes.keys, Snapshot.fingerprints(nothing))
        return Snapshot.learn(nothing, differences, since).state
      })
    })

  return {
    learn,
    whole,
    /** Reads a key from the database. Reads that overlap share one statement. */
    entry: (tenant: TenantId, key: ConfigKey.Any): Effect.Effect<Entry<unknown>, EntryStoreError> =>
      Effect.suspend((): Effect.Effect<Answer> => {
        const lane: Lane = lanes.get(tenant) ?? { running: new Map(), turns: Semaphore.makeUnsafe(readsPerTenant) }
        lanes.set(tenant, lane)
        const running = lane.running.get(key)
        return running === undefined ? start(tenant, lane, key) : Effect.succeed(running)
      }).pipe(
        Effect.flatMap((answer) => Deferred.await(answer)),
        Effect.timeoutOrElse({
          duration: readTimeout,
          orElse: () => Effect.fail(new EntryStoreError({ tenant, reason: new Unanswered({ code: "ETIMEDOUT" }) }))
        }),
        Effect.tap(telemetry.read(tenant, "miss", 1))
      ),
    /** Later reads of the key share no statement that began before now: it may not see what was just written. */
    detach: (tenant: TenantId, key: ConfigKey.Any): void => {
      lanes.get(tenant)?.running.delete(key)
    }
  }
})

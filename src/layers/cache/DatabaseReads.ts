/**
 * Reads that go to the database: those of one subject that overlap share one statement, a tenant has a bounded number
 * of them, and a circuit keeps them from a database that does not answer. What they find goes into the tenant's
 * replica.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { Entry } from "../../schema/Entry.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { readTimeout, timedOut } from "../runtime/Timeouts.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import * as ReadCircuits from "./ReadCircuits.ts"
import type { Reconciling } from "./Reconciling.ts"
import type { Replicas } from "./Replicas.ts"

/** Reads of one tenant that run at once. Its pool has 4 connections by default: twice that keeps them busy. */
const readsPerTenant = 8

type Answer = Deferred.Deferred<any, EntryStoreError>

/** What is read: one key, or everything. */
type Subject = ConfigKey.Any | "everything"

/** The reads of one tenant that are under way. */
interface Lane {
  readonly running: Map<Subject, Answer>
  readonly turns: Semaphore.Semaphore
}

export type DatabaseReads = Effect.Success<ReturnType<typeof make>>

export const make = Effect.fnUntraced(function* (replicas: Replicas, reconciling: Reconciling) {
  const store = yield* EntryStore
  const telemetry = yield* Telemetry
  const throughCircuit = yield* ReadCircuits.make
  const fibers = yield* FiberSet.make()
  const lanes = new Map<TenantId, Lane>()

  const read = Effect.fnUntraced(function* (
    tenant: TenantId,
    key: ConfigKey.Any
  ): Effect.fn.Return<Entry<unknown>, EntryStoreError> {
    const before = replicas.get(tenant)
    const slot = replicas.slotOf(key)
    const time = yield* MonotonicClock.millis
    const version = before?.snapshot.version ?? 0
    const row = Option.getOrUndefined(yield* store.read(tenant, key))
    // A replica that was opened meanwhile may have loaded an older state than this read saw: the row is applied to it
    // too, or the next read would go back in time. For that replica, the read began with it.
    const replica = replicas.get(tenant)
    if (replica === undefined || slot === undefined) {
      const [entry] = yield* replicas.readAlone(tenant, [key], [{ slot: 0, row }], time)
      return entry!
    }
    const since = { version: replica === before ? version : 0, time }
    yield* reconciling.apply(replica, (state) => Snapshot.applyRow(state, slot, row, since), "read", [slot])
    return replicas.answered(replica, slot)
  })

  const start = <A>(
    tenant: TenantId,
    lane: Lane,
    subject: Subject,
    read: Effect.Effect<A, EntryStoreError>
  ): Effect.Effect<Answer> => {
    const answer: Answer = Deferred.makeUnsafe()
    lane.running.set(subject, answer)
    return lane.turns.withPermit(throughCircuit(tenant, read)).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          // Finished first: the readers that wait continue within the next line, and may read again at once.
          finish(tenant, lane, subject, answer)
          Deferred.doneUnsafe(answer, exit)
        })
      ),
      (effect) => FiberSet.run(fibers, effect),
      Effect.as(answer)
    )
  }

  const finish = (tenant: TenantId, lane: Lane, subject: Subject, answer: Answer) => {
    if (lane.running.get(subject) === answer) lane.running.delete(subject)
    if (lane.running.size === 0 && lanes.get(tenant) === lane) lanes.delete(tenant)
  }

  /** Joins the read of the subject that is under way, or starts one. */
  const shared = <A>(
    tenant: TenantId,
    subject: Subject,
    read: Effect.Effect<A, EntryStoreError>
  ): Effect.Effect<A, EntryStoreError> => {
    const within = readTimeout(subject === "everything" ? replicas.keys.length : 1)
    return Effect.suspend((): Effect.Effect<Answer> => {
      const lane: Lane = lanes.get(tenant) ?? { running: new Map(), turns: Semaphore.makeUnsafe(readsPerTenant) }
      lanes.set(tenant, lane)
      const running = lane.running.get(subject)
      return running === undefined ? start(tenant, lane, subject, read) : Effect.succeed(running)
    }).pipe(
      Effect.flatMap((answer): Effect.Effect<A, EntryStoreError> => Deferred.await(answer)),
      Effect.timeoutOrElse({
        duration: within,
        orElse: () => Effect.fail(timedOut(tenant, within))
      }),
      Effect.tap(telemetry.missed(tenant))
    )
  }

  /** Everything in one statement: applied to the tenant's replica, or not kept if the tenant has none. */
  const whole = (tenant: TenantId): Effect.Effect<Snapshot.State, EntryStoreError> =>
    Effect.suspend(() => {
      const replica = replicas.get(tenant)
      if (replica !== undefined) return Effect.map(reconciling.reconcile(replica), () => replica.snapshot)
      return Effect.gen(function* () {
        const time = yield* MonotonicClock.millis
        const nothing = replicas.keys.map(() => undefined)
        const rows = yield* store.diff(tenant)(replicas.keys, nothing)
        return (yield* replicas.lastValid.ofRead(tenant, replicas.keys, rows, time)).state
      })
    })

  return {
    /** Reads everything from the database. Reads that overlap share one statement. */
    whole: (tenant: TenantId) => shared(tenant, "everything", whole(tenant)),
    /** Reads a key from the database. Reads that overlap share one statement. */
    entry: (tenant: TenantId, key: ConfigKey.Any) => shared(tenant, key, read(tenant, key)),
    /** Later reads of the key join no statement that began before now: it may not see what was just written. */
    detach: (tenant: TenantId, key: ConfigKey.Any): void => {
      const running = lanes.get(tenant)?.running
      running?.delete(key)
      running?.delete("everything")
    }
  }
})

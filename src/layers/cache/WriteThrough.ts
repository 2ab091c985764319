/**
 * Writes of this process: learned from before they return.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { Entry } from "../../schema/Entry.ts"
import type { EntryRow } from "../../schema/EntryRow.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { CacheWrite } from "../../schema/WriteRequest.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as WriteOutcome from "../store/WriteOutcome.ts"
import type { DatabaseReads } from "./DatabaseReads.ts"
import type { Reconciling } from "./Reconciling.ts"
import type { Replicas } from "./Replicas.ts"

/** How long a write may wait for everything to be read again. */
const settleTimeout = "5 seconds"

export const make = Effect.fnUntraced(function* (
  replicas: Replicas,
  reconciling: Reconciling,
  databaseReads: Pick<DatabaseReads, "detach">
) {
  const definite = yield* WriteOutcome.make

  /**
   * Sends a write and learns from its answer. A replica that was made while the write was under way may have read the table
   * before it: for that one, the write began with the replica.
   *
   * Not interrupted once begun: a write that landed must be visible to the reads that follow it.
   */
  const through = <A>(
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    send: Effect.Effect<A, EntryStoreError>,
    learn: (state: Snapshot.State, answer: A, since: Snapshot.Since) => Snapshot.Outcome,
    rowOf: (answer: A, index: number) => EntryRow | undefined
  ): Effect.Effect<ReadonlyArray<Entry<unknown>>, EntryStoreError> =>
    Effect.gen(function* () {
      const before = replicas.get(tenant)
      const version = before?.snapshot.version ?? 0
      const time = yield* MonotonicClock.millis
      const answer = yield* send
      for (const key of keys) databaseReads.detach(tenant, key)
      const replica = replicas.get(tenant)
      let settled = replica !== undefined
      if (replica !== undefined) {
        const since = { version: replica === before ? version : 0, time }
        yield* reconciling
          .apply(replica, (state) => learn(state, answer, since), "write")
          .pipe(
            Effect.timeout(settleTimeout),
            // The write landed, but something else happened to the key meanwhile and the database no longer answers. Until
            // the feed has settled it, the snapshot may answer nothing, and what is returned is the row as it was written.
            Effect.catch(() => {
              // The feed may have settled it meanwhile.
              if (!Snapshot.isDisowned(replica.snapshot)) return Effect.void
              settled = false
              // The read after it, which may be there at once.
              return Effect.tap(replicas.setCondition(replica, { overdue: true }), () => Effect.sync(replica.readAgain))
            })
          )
      }
      return keys.map((key, index) => {
        const slot = replicas.slotOf(key)
        return replica === undefined || slot === undefined || !settled
          ? replicas.answeredAlone(key, rowOf(answer, index), time)
          : replicas.answered(replica, slot)
      })
    }).pipe(Effect.uninterruptible)

  return {
    put: (
      tenant: TenantId,
      writes: ReadonlyArray<CacheWrite>,
      actor: string
    ): Effect.Effect<ReadonlyArray<Entry<unknown>>, EntryStoreError> =>
      through(
        tenant,
        writes.map(({ key }) => key),
        definite.put(tenant, writes, actor),
        (state, rows, since) =>
          Snapshot.applyRows(
            state,
            rows.flatMap((row, index) => {
              const slot = replicas.slotOf(writes[index]!.key)
              return slot === undefined ? [] : [{ slot, row }]
            }),
            since
          ),
        (rows, index) => rows[index]
      ),
    remove: (
      tenant: TenantId,
      key: ConfigKey.Any,
      ifRevision: number | undefined
    ): Effect.Effect<Entry<unknown>, EntryStoreError> =>
      through(
        tenant,
        [key],
        definite.remove(tenant, key, ifRevision),
        (state, deleted, since) => {
          const slot = replicas.slotOf(key)
          return slot === undefined
            ? Snapshot.applyRows(state, [], since)
            : Snapshot.applyDeletion(state, slot, Option.getOrUndefined(deleted), since)
        },
        () => undefined
      ).pipe(Effect.map(([entry]) => entry!))
  }
})

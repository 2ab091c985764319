/**
 * Writes: sent to the database, resolved where the answer is lost, and learned from before they return.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import type { Entry } from "../schema/Entry.ts"
import type { EntryRow } from "../schema/EntryRow.ts"
import type { EntryStoreError } from "../schema/EntryStoreError.ts"
import * as Snapshot from "../schema/Snapshot.ts"
import type { TenantId } from "../schema/TenantId.ts"
import { EntryStore } from "../services/EntryStore.ts"
import type { CacheWrite } from "../services/TenantCache.ts"
import type { ReadThrough } from "./ReadThrough.ts"
import type { Scopes } from "./Scopes.ts"
import { entryOf, loneEntry } from "./TenantScope.ts"

/** How long the database is asked what became of a write: long enough for a connection to be replaced. */
const askTimeout = "5 seconds"
const askAgain = Schedule.spaced("200 millis").pipe(Schedule.upTo({ duration: "3 seconds" }))

/** How long a write may wait for everything to be read again. */
const settleTimeout = "5 seconds"

export const make = Effect.fnUntraced(function* (scopes: Scopes, readThrough: ReadThrough) {
  const store = yield* EntryStore

  /**
   * Sends a write and learns from its answer. A scope that was made while the write was under way may have read the table
   * before it: for that one, the write began with the scope.
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
      const before = scopes.get(tenant)
      const clock = before?.snapshot.clock ?? 0
      const time = yield* Clock.currentTimeMillis
      const answer = yield* send
      for (const key of keys) readThrough.detach(tenant, key)
      const scope = scopes.get(tenant)
      if (scope !== undefined) {
        const since = { clock: scope === before ? clock : 0, time }
        yield* readThrough
          .learn(scope, (state) => learn(state, answer, since), "write")
          .pipe(
            Effect.timeout(settleTimeout),
            // The write landed, but something else happened to the key meanwhile and the database no longer answers. Until
            // the feed has settled it, the snapshot may answer nothing.
            Effect.catch(() => {
              scope.dirty.openUnsafe()
              return scopes.relink(scope, { overdue: true })
            })
          )
      }
      return keys.map((key, index) => {
        const slot = scopes.slotOf(key)
        return scope === undefined || slot === undefined
          ? loneEntry(key, rowOf(answer, index), time)
          : entryOf(scope.snapshot, slot, false)
      })
    }).pipe(Effect.uninterruptible)

  /**
   * What became of a write whose answer was lost. Where every row holds what was written, by whom it was written, it landed,
   * or makes no difference; anything else may be so because it is still under way, or was overwritten since. For a guarded
   * write it does make a difference whose row it is, and the row does not tell: that stays unknown.
   */
  const resolved =
    (tenant: TenantId, writes: ReadonlyArray<CacheWrite>, actor: string) =>
    (send: Effect.Effect<ReadonlyArray<EntryRow>, EntryStoreError>) =>
      Effect.catch(send, (lost) => {
        if (lost.reason._tag !== "Unanswered" || writes.some(({ ifRevision }) => ifRevision !== undefined)) {
          return Effect.fail(lost)
        }
        return Effect.forEach(writes, ({ key }) => store.read(tenant, key)).pipe(
          asking(lost),
          Effect.map((rows) => rows.flatMap(Option.toArray)),
          Effect.flatMap((rows) =>
            rows.length === writes.length && rows.every((row, i) => isWritten(row, writes[i]!, actor))
              ? Effect.succeed(rows)
              : Effect.fail(lost)
          )
        )
      })

  const isWritten = (row: EntryRow, { json }: CacheWrite, actor: string) =>
    row.updatedBy === actor && Equal.equals(row.value, JSON.parse(json))

  return {
    put: (
      tenant: TenantId,
      writes: ReadonlyArray<CacheWrite>,
      actor: string
    ): Effect.Effect<ReadonlyArray<Entry<unknown>>, EntryStoreError> => {
      const entries = writes.map(({ ifRevision, json, key: { key, namespace } }) => ({
        namespace,
        key,
        json,
        ifRevision
      }))
      const [only, ...others] = entries
      const send =
        only !== undefined && others.length === 0
          ? Effect.map(store.put(tenant, only, actor), (row): ReadonlyArray<EntryRow> => [row])
          : store.putAll(tenant, entries, actor)
      return through(
        tenant,
        writes.map(({ key }) => key),
        send.pipe(resolved(tenant, writes, actor)),
        (state, rows, since) =>
          Snapshot.learnRows(
            state,
            rows.flatMap((row, index) => {
              const slot = scopes.slotOf(writes[index]!.key)
              return slot === undefined ? [] : [{ slot, row }]
            }),
            since
          ),
        (rows, index) => rows[index]
      )
    },
    remove: (
      tenant: TenantId,
      key: ConfigKey.Any,
      ifRevision: number | undefined
    ): Effect.Effect<Entry<unknown>, EntryStoreError> =>
      through(
        tenant,
        [key],
        store.remove(tenant, key, ifRevision).pipe(
          Effect.catch((lost) =>
            lost.reason._tag === "Unanswered" && ifRevision === undefined
              ? store.read(tenant, key).pipe(
                  asking(lost),
                  Effect.flatMap((row) => (Option.isNone(row) ? Effect.succeed(Option.none()) : Effect.fail(lost)))
                )
              : Effect.fail(lost)
          )
        ),
        (state, deleted, since) => {
          const slot = scopes.slotOf(key)
          return slot === undefined
            ? Snapshot.learnRows(state, [], since)
            : Snapshot.learnDeletion(state, slot, Option.getOrUndefined(deleted), since)
        },
        () => undefined
      ).pipe(Effect.map(([entry]) => entry!))
  }
})

/** Asks until there is an answer or the time is up; then the write is as lost as before. */
const asking =
  (lost: EntryStoreError) =>
  <A>(question: Effect.Effect<A, EntryStoreError>): Effect.Effect<A, EntryStoreError> =>
    question.pipe(
      Effect.retry(askAgain),
      Effect.timeout(askTimeout),
      Effect.catch(() => Effect.fail(lost))
    )

/**
 * Writes with a definite outcome: sent to the database, which is asked what became of them where the answer is lost.
 *
 * What is left `Unanswered` is unknown: the statement may still be under way, or was overwritten since.
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import type { EntryRow } from "../../schema/EntryRow.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { CacheWrite } from "../../schema/WriteRequest.ts"
import { EntryStore } from "../../services/EntryStore.ts"

/** How long the database is asked what became of a write: long enough for a connection to be replaced. */
const askTimeout = "5 seconds"
const askAgain = Schedule.spaced("200 millis").pipe(Schedule.upTo({ duration: "3 seconds" }))

export type WriteOutcome = Effect.Success<typeof make>

export const make = Effect.map(EntryStore, (store) => {
  const send = (
    tenant: TenantId,
    writes: ReadonlyArray<CacheWrite>,
    actor: string
  ): Effect.Effect<ReadonlyArray<EntryRow>, EntryStoreError> => {
    const entries = writes.map(({ ifRevision, json, key: { key, namespace } }) => ({
      namespace,
      key,
      json,
      ifRevision
    }))
    const [only, ...others] = entries
    return only !== undefined && others.length === 0
      ? Effect.map(store.put(tenant, only, actor), (row) => [row])
      : store.putAll(tenant, entries, actor)
  }

  return {
    /**
     * Where every row holds what was written, by whom it was written, the write landed, or makes no difference. For a guarded
     * write it does make a difference whose row it is, and the row does not tell: that stays unknown.
     */
    put: (tenant: TenantId, writes: ReadonlyArray<CacheWrite>, actor: string) =>
      Effect.catch(send(tenant, writes, actor), (lost) => {
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
      }),

    /** Where there is no row any more, the deletion landed, or makes no difference; guarded as for `put`. */
    remove: (tenant: TenantId, key: ConfigKey.Any, ifRevision: number | undefined) =>
      Effect.catch(store.remove(tenant, key, ifRevision), (lost) =>
        lost.reason._tag === "Unanswered" && ifRevision === undefined
          ? store.read(tenant, key).pipe(
              asking(lost),
              Effect.flatMap((row) => (Option.isNone(row) ? Effect.succeed(Option.none()) : Effect.fail(lost)))
            )
          : Effect.fail(lost)
      )
  }
})

const isWritten = (row: EntryRow, { json }: CacheWrite, actor: string) =>
  row.updatedBy === actor && Equal.equals(row.value, JSON.parse(json))

/** Asks until there is an answer or the time is up; then the write is as lost as before. */
const asking =
  (lost: EntryStoreError) =>
  <A>(question: Effect.Effect<A, EntryStoreError>): Effect.Effect<A, EntryStoreError> =>
    question.pipe(
      Effect.retry(askAgain),
      Effect.timeout(askTimeout),
      Effect.catch(() => Effect.fail(lost))
    )

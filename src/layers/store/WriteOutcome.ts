/**
 * Writes with a definite outcome.
 *
 * A write that is not answered is sent again under its change id, until it is answered or its budget is spent: on a
 * database with a history an id takes effect once, whichever of its copies arrives first. Before each further copy the
 * history is asked what became of the ones before. A database without a history cannot tell, and a further copy might
 * write over another writer's value: there the rows are asked once, which tells of an unguarded write alone.
 *
 * What is left `Unanswered` is unknown: a copy may still be under way.
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Result from "effect/Result"
import type { EntryRow } from "../../schema/EntryRow.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { WriteRequest } from "../../schema/WriteRequest.ts"
import { EntryStore, type EntryWrite, type Receipt } from "../../services/EntryStore.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { pauseBetweenCopies, timedOut, writeBudget, writeTimeout } from "../runtime/Timeouts.ts"

export type WriteOutcome = Effect.Success<typeof make>

export const make = Effect.map(EntryStore, (store) => {
  const definite = Effect.fnUntraced(function* (
    tenant: TenantId,
    writes: ReadonlyArray<EntryWrite>,
    change: WriteRequest["change"],
    sendUntil: number
  ): Effect.fn.Return<Receipt, EntryStoreError> {
    const first = yield* Effect.result(store.write(tenant, writes, change))
    if (Result.isSuccess(first)) return first.success
    const lost = first.failure
    if (lost.reason._tag !== "Unanswered") return yield* lost
    while (true) {
      yield* Effect.sleep(pauseBetweenCopies)
      if ((yield* MonotonicClock.millis) >= sendUntil) return yield* lost
      const found = yield* Effect.result(store.outcome(tenant, writes, change))
      if (Result.isFailure(found)) {
        if (isFinal(found.failure)) return yield* found.failure
        continue
      }
      if (found.success._tag === "Landed") return found.success.receipt
      if (found.success._tag === "Unrecorded") return yield* byRows(tenant, writes, change.actor, lost)
      if ((yield* MonotonicClock.millis) >= sendUntil) return yield* lost
      const again = yield* Effect.result(store.write(tenant, writes, change))
      if (Result.isSuccess(again)) return again.success
      if (isFinal(again.failure)) return yield* again.failure
    }
  })

  /**
   * If every row holds what was written, and names who wrote it, the write landed, or makes no difference. For a
   * guarded write it does make a difference whose row it is, and the row does not tell: that stays unknown.
   */
  const byRows = Effect.fnUntraced(function* (
    tenant: TenantId,
    writes: ReadonlyArray<EntryWrite>,
    actor: string,
    lost: EntryStoreError
  ): Effect.fn.Return<Receipt, EntryStoreError> {
    if (writes.some(({ ifRevision }) => ifRevision !== undefined)) return yield* lost
    const found = yield* Effect.mapError(
      store.diff(tenant)(
        writes,
        writes.map(() => undefined)
      ),
      () => lost
    )
    const rows = new Map(found.map(({ row, slot }) => [slot, row]))
    const landed = writes.every(({ json }, slot) => isAsWritten(rows.get(slot), json, actor))
    if (!landed) return yield* lost
    return { written: writes.map((_, slot) => ({ row: rows.get(slot), deleted: undefined })), current: true }
  })

  return {
    write: (tenant: TenantId, { change, writes }: WriteRequest): Effect.Effect<Receipt, EntryStoreError> => {
      const entries = writes.map(({ ifRevision, json, key: { key, namespace } }) => ({
        namespace,
        key,
        json,
        ifRevision
      }))
      const within = writeTimeout(writes.map(({ json }) => json))
      return Effect.flatMap(MonotonicClock.millis, (now) =>
        definite(tenant, entries, change, now + writeBudget.sending * within)
      ).pipe(
        Effect.timeoutOrElse({
          duration: writeBudget.whole * within,
          orElse: () => Effect.fail(timedOut(tenant, writeBudget.whole * within))
        })
      )
    }
  }
})

/**
 * Whether a further copy's failure tells what became of all copies. What the server said of one for want of a lock, of
 * room or of the right to write (a fail-over) says nothing of the others.
 */
const isFinal = ({ reason }: EntryStoreError): boolean => {
  switch (reason._tag) {
    case "RevisionConflict":
    case "ChangeIdReused":
      return true
    case "Refused":
      return /^(22|23|42)/.test(reason.code ?? "")
    default:
      return false
  }
}

const isAsWritten = (row: EntryRow | undefined, json: string | undefined, actor: string): boolean =>
  json === undefined
    ? row === undefined
    : row !== undefined && row.updatedBy === actor && Equal.equals(row.value, JSON.parse(json))

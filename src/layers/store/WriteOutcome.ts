/**
 * Writes with a definite outcome.
 *
 * A write that is not answered is sent again under its change id, until it is answered or its budget is spent: on a
 * database with a history an id takes effect once, whichever of its copies arrives first. Before each further copy the
 * history is asked what became of the ones before, and a further copy that wrote nothing is not the end before the
 * earlier ones are kept from writing anything later. A database without a history cannot tell, and a further copy might
 * write over another writer's value: there the rows are asked once, which tells of an unguarded write alone.
 *
 * What is left `Unanswered` is unknown: a copy may still be under way.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { EntryRow } from "../../schema/EntryRow.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as JsonText from "../../schema/JsonText.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Receipt, WriteRequest } from "../../schema/WriteRequest.ts"
import { EntryStore, type EntryWrite } from "../../services/EntryStore.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { pauseBetweenCopies, timedOut, writeBudget, writeTimeout } from "../runtime/Timeouts.ts"

/** How many changes that were left unanswered are remembered. */
const mostUnanswered = 1_000

export const make = Effect.map(EntryStore, (store) => {
  /** The ids of changes whose calls ended without an answer, oldest first. */
  const unanswered = new Set<string>()
  const remember = (id: string) => {
    unanswered.add(id)
    if (unanswered.size > mostUnanswered) unanswered.delete(unanswered.values().next().value!)
  }

  const definite = Effect.fnUntraced(function* (
    tenant: TenantId,
    writes: ReadonlyArray<EntryWrite>,
    change: WriteRequest["change"],
    sendUntil: number
  ): Effect.fn.Return<Receipt, EntryStoreError> {
    const first = yield* Effect.result(store.write(tenant, writes, change))
    if (Result.isSuccess(first) || first.failure.reason._tag !== "Unanswered") {
      return yield* ofOnlyCopy(tenant, writes, change, first)
    }
    const lost = first.failure
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
      const open = openWrite(again, writes)
      if (open !== undefined) {
        const fenced = yield* Effect.result(store.fence(tenant, writes, open, change))
        if (Result.isFailure(fenced)) continue
        if (Option.isSome(fenced.success)) return fenced.success.value
      }
      if (Result.isSuccess(again)) return again.success
      if (isFinal(again.failure)) return yield* again.failure
    }
  })

  /**
   * What the first copy of a call came to. An id that the caller gave may have copies of an earlier call under way,
   * also of another process: a removal is fenced then, since it leaves a record if it finds a row as well. A conflict
   * is fenced only after a call of this process that ended without an answer: else an ordinary one would leave a
   * record. What cannot be fenced (a database without a history) is left as it is.
   */
  const ofOnlyCopy = (
    tenant: TenantId,
    writes: ReadonlyArray<EntryWrite>,
    change: WriteRequest["change"],
    came: Result.Result<Receipt, EntryStoreError>
  ): Effect.Effect<Receipt, EntryStoreError> => {
    const end = Effect.fromResult(came)
    const repeated = Result.isSuccess(came) ? change.given === true : unanswered.has(change.id)
    const open = repeated ? openWrite(came, writes) : undefined
    if (open === undefined) return end
    return store.fence(tenant, writes, open, change).pipe(
      Effect.option,
      Effect.flatMap((fenced) => Option.match(Option.flatten(fenced), { onNone: () => end, onSome: Effect.succeed }))
    )
  }

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
      const entries = writes.map(({ ifRevision, json, key: { key, namespace, secret } }) => ({
        namespace,
        key,
        json,
        ifRevision,
        secret
      }))
      const within = writeTimeout(writes.map(({ json }) => json))
      return Effect.flatMap(MonotonicClock.millis, (now) =>
        definite(tenant, entries, change, now + writeBudget.sending * within)
      ).pipe(
        Effect.timeoutOrElse({
          duration: writeBudget.whole * within,
          orElse: () => Effect.fail(timedOut(tenant, writeBudget.whole * within))
        }),
        Effect.tapError(({ reason }) =>
          Effect.sync(() => reason._tag === "Unanswered" && change.given === true && remember(change.id))
        )
      )
    }
  }
})

/**
 * The write by whose key copies that are still under way must be kept out, if what one copy came to does not hold for
 * all: a removal found no row, or a row was where none was expected, and another writer may change that. A revision
 * never comes back, so that a guard by one that was hurt is hurt for ever.
 */
const openWrite = (
  came: Result.Result<Receipt, EntryStoreError>,
  writes: ReadonlyArray<EntryWrite>
): EntryWrite | undefined => {
  if (Result.isFailure(came)) {
    const { reason } = came.failure
    if (reason._tag !== "RevisionConflict" || reason.expected > 0) return undefined
    return writes.find(({ key, namespace }) => namespace === reason.namespace && key === reason.key)
  }
  const wroteNothing = came.success.written.every(({ deleted, row }) => row === undefined && deleted === undefined)
  return wroteNothing
    ? writes.find(({ ifRevision, json }) => json === undefined && ifRevision === undefined)
    : undefined
}

/**
 * Whether a further copy's failure tells what became of all copies. If the server refused one because it lacked a
 * lock, room or the right to write (a fail-over), that says nothing of the others.
 */
const isFinal = ({ reason }: EntryStoreError): boolean => {
  switch (reason._tag) {
    case "RevisionConflict":
    case "ChangeIdReused":
    case "Skipped":
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
    : row !== undefined && row.updatedBy === actor && JsonText.isSame(row.value, JSON.parse(json))

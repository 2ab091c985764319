/**
 * Writes of this process: applied to the tenant's replica before they return, so that every later read sees them.
 *
 * A receipt is applied like the answer of a read: if it cannot be judged on its own, the whole table is read. If that
 * read does not come in time, the write has landed all the same, and the write returns. But the replica answers no
 * reads until the feed has read the table. How a write is sent, and what a lost answer means, is WriteOutcome's.
 */
import * as Effect from "effect/Effect"
import type { Entry } from "../../schema/Entry.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Receipt, WriteRequest } from "../../schema/WriteRequest.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { settleTimeout } from "../runtime/Timeouts.ts"
import * as WriteOutcome from "../store/WriteOutcome.ts"
import type { DatabaseReads } from "./DatabaseReads.ts"
import type { Reconciling } from "./Reconciling.ts"
import type { Replicas } from "./Replicas.ts"

export const make = Effect.fnUntraced(function* (
  replicas: Replicas,
  reconciling: Reconciling,
  databaseReads: Pick<DatabaseReads, "detach">
) {
  const outcome = yield* WriteOutcome.make

  /** What a receipt says of the snapshot. One that is not current says only that the table has to be read. */
  const apply = (
    state: Snapshot.State,
    { writes }: WriteRequest,
    { current, written }: Receipt,
    since: Snapshot.Since
  ): Snapshot.Outcome => {
    if (!current) return Snapshot.applyUnseen(state)
    const changes = written.flatMap(({ deleted, row }, index) => {
      const slot = replicas.slotOf(writes[index]!.key)
      return slot === undefined ? [] : [{ slot, row, deleted }]
    })
    const [only, ...others] = changes
    if (only !== undefined && others.length === 0 && only.row === undefined) {
      return Snapshot.applyDeletion(state, only.slot, only.deleted, since)
    }
    // Deletions beside other changes: what they may overlap with is settled by reading the table.
    if (changes.some(({ row }) => row === undefined)) return Snapshot.applyUnseen(state)
    return Snapshot.applyRows(state, changes, since)
  }

  /**
   * Sends a write and applies its answer. A replica that was made while the write was under way may have read the table
   * before it: for that one, the write began with the replica.
   */
  const write = Effect.fnUntraced(function* (
    tenant: TenantId,
    request: WriteRequest
  ): Effect.fn.Return<ReadonlyArray<Entry<unknown>>, EntryStoreError> {
    const before = replicas.get(tenant)
    const version = before?.snapshot.version ?? 0
    const time = yield* MonotonicClock.millis
    const receipt = yield* outcome.write(tenant, request)
    for (const { key } of request.writes) databaseReads.detach(tenant, key)
    const replica = replicas.get(tenant)
    let settled = replica !== undefined && receipt.current
    if (replica !== undefined) {
      const since = { version: replica === before ? version : 0, time }
      const slots = request.writes.flatMap(({ key }) => replicas.slotOf(key) ?? [])
      yield* reconciling
        .apply(replica, (state) => apply(state, request, receipt, since), "write", slots)
        .pipe(
          Effect.timeout(settleTimeout),
          // The write landed, its answer was inconclusive, and the database does not answer. Until the feed has settled
          // it, the snapshot may answer nothing, and what is returned is the row as it was written.
          Effect.catch(() => {
            // The feed may have settled it meanwhile.
            if (!Snapshot.isDisowned(replica.snapshot)) return Effect.void
            settled = false
            // The read after it, which may be there at once.
            return Effect.tap(replicas.setCondition(replica, { overdue: true }), () => Effect.sync(replica.readAgain))
          })
        )
    }
    return request.writes.map(({ key }, index) => {
      const slot = replicas.slotOf(key)
      return replica === undefined || slot === undefined || !settled
        ? replicas.answeredAlone(key, receipt.written[index]!.row, time)
        : replicas.answered(replica, slot)
    })
  })

  return { write }
})

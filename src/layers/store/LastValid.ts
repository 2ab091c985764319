/**
 * What was in force before rows that do not decode: the newest value of the history that today's schema decodes.
 *
 * A process that sees a rejected row asks the history once, in batches, whether it starts with such a row or meets it
 * later; so that all processes put the same value in force, whatever each of them has seen. The search ends at a
 * deletion, since the default was in force after it, at a value that was not kept (a secret's), and after a bounded
 * number of records. Long values take the server a while: the first batches are small, so that what was found in time is
 * known. Of what was not, the history is asked again with the next read of everything.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { ConfigKey } from "../../schema/ConfigKey.ts"
import * as Snapshot from "../../schema/Snapshot.ts"
import * as SnapshotRecall from "../../schema/SnapshotRecall.ts"
import type * as SnapshotSlot from "../../schema/SnapshotSlot.ts"
import * as StoredValue from "../../schema/StoredValue.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { HistoryStore, type HistoryStoreError, type PastRow } from "../../services/HistoryStore.ts"
import { recallTimeout } from "../runtime/Timeouts.ts"

/**
 * How many records of a key are looked at, in rounds: most values that were changed badly were good before. Of long ones
 * a round is one record, and all rounds together are to be answered in time.
 */
const rounds = [4, 100, 100] as const

/** How many keys are asked for at once, at most. Each batch is twice the one before. */
const mostKeys = 250

type Last = SnapshotRecall.Recalled["last"]

interface Sought extends SnapshotRecall.Forgotten {
  readonly key: ConfigKey.Any
  before: number | undefined
}

/** What the history says, and in words which value is in force. */
export interface Found extends SnapshotRecall.Recalled {
  readonly inForce: string
}

/** What some rows say if nothing else is known, and what the history says of those that do not decode. */
export interface LoneRead {
  readonly state: Snapshot.State
  readonly rejected: ReadonlyArray<SnapshotSlot.Rejected>
  readonly found: ReadonlyArray<Found>
}

export const make = Effect.map(HistoryStore, (history) => {
  /** Adds to `found` what each batch of keys was found to be. */
  const seek = Effect.fnUntraced(function* (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    forgotten: ReadonlyArray<SnapshotRecall.Forgotten>,
    found: Array<Found>
  ): Effect.fn.Return<void, HistoryStoreError> {
    const end = ({ row, slot }: SnapshotRecall.Forgotten, last: Last, inForce: string) =>
      found.push({ slot, row, last, inForce })
    const open: Array<Sought> = []
    for (const each of forgotten) {
      const key = keys[each.slot]!
      if (key.secret) end(each, undefined, "what was in force before; the history keeps no value of a secret")
      else open.push({ ...each, key, before: undefined })
    }
    for (let size = 1; open.length > 0; size = Math.min(2 * size, mostKeys)) {
      let batch = open.splice(0, size)
      for (const records of rounds) {
        if (batch.length === 0) break
        const asked = batch.map(({ before, key: { key, namespace }, row: { revision } }) => ({
          namespace,
          key,
          revision,
          before
        }))
        const answers = yield* history.recall(tenant, asked, records)
        batch = batch.flatMap((sought, i) => {
          const records = answers[i]!
          const verdict = judge(sought.key, records)
          if (verdict === undefined) return [{ ...sought, before: records.at(-1)!.id }]
          end(sought, verdict.last, verdict.inForce)
          return []
        })
      }
      for (const each of batch) {
        end(each, undefined, "what was in force before; too many records of the key do not decode")
      }
    }
  })

  /** Asks the history of rejected rows: what it did not answer in time is to be asked again. */
  const recall = (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    forgotten: ReadonlyArray<SnapshotRecall.Forgotten>
  ): Effect.Effect<ReadonlyArray<Found>> =>
    Effect.suspend(() => {
      const found: Array<Found> = []
      return seek(tenant, keys, forgotten, found).pipe(
        Effect.timeoutOption(recallTimeout),
        Effect.as(found),
        Effect.catch((error) =>
          Effect.succeed(
            error._tag === "HistoryMissing"
              ? forgotten.map((each) => ({
                  ...each,
                  last: undefined,
                  inForce: "what was in force before; there is no history to look into"
                }))
              : found
          )
        )
      )
    })

  return {
    recall,
    /** Learns rows of keys that no replica holds. `time` is when they were asked for, by the monotonic clock. */
    ofRead: (
      tenant: TenantId,
      keys: ReadonlyArray<ConfigKey.Any>,
      rows: ReadonlyArray<Snapshot.RowDiff>,
      time: number
    ): Effect.Effect<LoneRead> => {
      const { rejected, state } = Snapshot.ofRead(keys, rows, time)
      const forgotten = SnapshotRecall.forgotten(state)
      if (forgotten.length === 0) return Effect.succeed({ state, rejected, found: [] })
      return Effect.map(recall(tenant, keys, forgotten), (found) => ({
        state: SnapshotRecall.applyRecalled(state, found).state,
        rejected,
        found
      }))
    }
  }
})

/** What a report says of the value in force. */
export const inForceOf = (found: ReadonlyArray<Found>, slot: number): string =>
  found.find((each) => each.slot === slot)?.inForce ?? "what was in force before; the history did not answer"

/** What ends the search among these records, newest first; `undefined` if older ones are to be looked at. */
const judge = (
  key: ConfigKey.Any,
  records: ReadonlyArray<PastRow>
): { readonly last: Last; readonly inForce: string } | undefined => {
  for (const { deleted, revision, row } of records) {
    if (deleted) return { last: { deleted: revision }, inForce: "the default; the value before was removed" }
    if (row === undefined) return { last: undefined, inForce: "what was in force before; a value was not kept" }
    if (Result.isSuccess(StoredValue.decode(key, row))) {
      return { last: { row }, inForce: `revision ${revision}, out of the history` }
    }
  }
  return records.length > 0
    ? undefined
    : { last: undefined, inForce: "what was in force before; no older value decodes" }
}

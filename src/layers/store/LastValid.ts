/**
 * What was in force before rows that do not decode: the newest value of the history that today's schema decodes.
 *
 * A process that sees a rejected row asks the history once, in batches, whether it starts with such a row or meets it
 * later; so that all processes put the same value in force, whatever each of them has seen. The search ends at a
 * deletion, since the default was in force after it, at a value that was not kept (a secret's), and after a bounded
 * number of records. A history that does not answer in time is asked again with the next read of everything.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
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
 * How many records of a key are looked at in each round, and of how many keys at once: most values that were changed
 * badly were good before. 204 records of a key in all.
 */
const rounds = [{ records: 4, keys: 250 }, ...Array.from({ length: 4 }, () => ({ records: 50, keys: 20 }))] as const

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
  const seek = Effect.fnUntraced(function* (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    forgotten: ReadonlyArray<SnapshotRecall.Forgotten>
  ): Effect.fn.Return<ReadonlyArray<Found>, HistoryStoreError> {
    const found: Array<Found> = []
    const end = ({ row, slot }: SnapshotRecall.Forgotten, last: Last, inForce: string) =>
      found.push({ slot, row, last, inForce })
    let open: Array<Sought> = []
    for (const each of forgotten) {
      const key = keys[each.slot]!
      if (key.secret) end(each, undefined, "what was in force before; the history keeps no value of a secret")
      else open.push({ ...each, key, before: undefined })
    }
    for (const round of rounds) {
      const left: Array<Sought> = []
      for (let from = 0; from < open.length; from += round.keys) {
        const batch = open.slice(from, from + round.keys)
        const asked = batch.map(({ before, key: { key, namespace }, row: { revision } }) => ({
          namespace,
          key,
          revision,
          before
        }))
        const answers = yield* history.recall(tenant, asked, round.records)
        for (const [i, sought] of batch.entries()) {
          const records = answers[i]!
          const verdict = judge(sought.key, records)
          if (verdict !== undefined) end(sought, verdict.last, verdict.inForce)
          else left.push({ ...sought, before: records.at(-1)!.id })
        }
      }
      open = left
    }
    for (const each of open) end(each, undefined, "what was in force before; too many records of the key do not decode")
    return found
  })

  /** Asks the history of rejected rows; `undefined` if it did not answer and should be asked again. */
  const recall = (
    tenant: TenantId,
    keys: ReadonlyArray<ConfigKey.Any>,
    forgotten: ReadonlyArray<SnapshotRecall.Forgotten>
  ): Effect.Effect<ReadonlyArray<Found> | undefined> =>
    seek(tenant, keys, forgotten).pipe(
      Effect.timeoutOption(recallTimeout),
      Effect.map(Option.getOrUndefined),
      Effect.catch((error) =>
        Effect.succeed(
          error._tag === "HistoryMissing"
            ? forgotten.map((each) => ({
                ...each,
                last: undefined,
                inForce: "what was in force before; there is no history to look into"
              }))
            : undefined
        )
      )
    )

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
      return Effect.map(recall(tenant, keys, forgotten), (found = []) => ({
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

/**
 * The history of tenants in memory.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryHistory from "../../schema/memory/MemoryHistory.ts"
import * as MemoryRecords from "../../schema/memory/MemoryRecords.ts"
import type { ChangeRecord } from "../../schema/operator/ChangeRecord.ts"
import * as StoredValue from "../../schema/StoredValue.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { type HistoryDelta, HistoryStore, type PastRequest, type PastRow } from "../../services/HistoryStore.ts"
import { MemoryClients } from "./MemoryClients.ts"

const make = Effect.map(MemoryClients, (clients) => {
  const asked =
    <A, Args extends ReadonlyArray<any>>(question: (history: MemoryHistory.History, ...args: Args) => A) =>
    (tenant: TenantId, ...args: Args) =>
      clients.read(tenant, ({ history }) => question(history, ...args))

  return HistoryStore.of({
    changes: asked(MemoryHistory.changes),
    ofKey: (tenant, key, page) =>
      Effect.map(asked(MemoryHistory.ofKey)(tenant, key, page), (records) => ({ records, full: false })),
    ofRevision: asked(MemoryHistory.ofRevision),
    recall: asked(recall),
    ofChange: asked(MemoryHistory.ofChange),
    at: asked(MemoryHistory.at),
    since: asked(since),
    verify: (tenant) => Effect.map(clients.run(tenant, [MemoryRecords.recordUnrecorded]), ([found]) => found!),
    purge: (tenant, retention) =>
      Effect.map(clients.run(tenant, [MemoryRecords.purgeHistory(retention)]), ([removed]) => removed!)
  })
})

export const layer = Layer.effect(HistoryStore, make)

const recall = (history: MemoryHistory.History, keys: ReadonlyArray<PastRequest>, limit: number) =>
  keys.map(({ revision, ...page }) =>
    MemoryHistory.ofKey(history, page, { ...page, limit: Number.POSITIVE_INFINITY })
      .filter((record) => record.revision <= revision)
      .slice(0, limit)
      .map(pastRow)
  )

const pastRow = ({ changedAt, changedBy, id, operation, redacted, revision, value }: ChangeRecord): PastRow => ({
  id,
  revision,
  deleted: operation === "delete",
  row:
    value === undefined || redacted
      ? undefined
      : {
          ...StoredValue.parse(JSON.stringify(value)),
          revision,
          updatedAt: changedAt.epochMilliseconds,
          updatedBy: changedBy,
          // Of no row.
          fingerprint: 0n
        }
})

/** A cursor names the newest record that was seen; a restored table has no record of that id, or another one. */
const since = (history: MemoryHistory.History, cursor: string | undefined): HistoryDelta => {
  const now = cursorOf(history)
  if (cursor === undefined) return { cursor: now, reset: true, records: [] }
  const records = []
  for (let at = history; ; at = at.earlier) {
    if (cursorOf(at) === cursor) return { cursor: now, reset: false, records: records.reverse() }
    if (at === undefined) return { cursor: now, reset: true, records: [] }
    records.push(at.record)
  }
}

const cursorOf = (history: MemoryHistory.History) =>
  history === undefined ? "memory:0" : `memory:${history.record.id}:${history.record.changeId}`

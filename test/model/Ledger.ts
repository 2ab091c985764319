/**
 * Notes every version of every row when it is written, by any writer: the histories that a checker holds
 * a plane against.
 */
import { Clock, Effect } from "effect"
import { TenantId } from "effect-systemplane"
import type { JournalRow } from "../../soak/checks/Checker.ts"
import { MemoryDatabases } from "../../src/layers/memory/MemoryDatabases.ts"
import * as MemoryTable from "../../src/schema/memory/MemoryTable.ts"

/** Begins to note what becomes of these tenants' tables. */
export const keep = (
  tenants: ReadonlyArray<string>,
  committed: (tenant: string, rows: ReadonlyArray<JournalRow>) => void
) =>
  Effect.gen(function* () {
    const databases = yield* MemoryDatabases
    const clock = yield* Clock.Clock
    for (const tenant of tenants) {
      const database = databases.database(TenantId.make(tenant))
      let table = database.table
      let transactions = 0
      // A table is a value: it takes the place of the one before in a single step, as a transaction does.
      Object.defineProperty(database, "table", {
        get: () => table,
        set: (next: MemoryTable.Table) => {
          const rows = diff(table, next, clock.currentTimeMillisUnsafe(), String(++transactions))
          table = next
          if (rows.length > 0) committed(tenant, rows)
        }
      })
    }
  })

const diff = (
  before: MemoryTable.Table,
  after: MemoryTable.Table,
  time: number,
  transaction: string
): ReadonlyArray<JournalRow> => {
  const common = { committed: time, announced: true, transaction }
  const written = MemoryTable.rows(after).flatMap((row): ReadonlyArray<JournalRow> => {
    const last = MemoryTable.find(before, row)
    if (last?.text === row.text && last.revision === row.revision) return []
    const operation = last === undefined ? "insert" : "update"
    return [{ key: nameOf(row), ...stampOf(row), revision: row.revision, by: row.updatedBy, operation, ...common }]
  })
  const erased = MemoryTable.rows(before)
    .filter((row) => MemoryTable.find(after, row) === undefined)
    .map((row): JournalRow => ({ key: nameOf(row), ...noRow, ...common }))
  return [...written, ...erased]
}

const noRow = { stamp: "default", revision: 0, valid: true, by: "", operation: "delete" } as const

const nameOf = ({ key, namespace }: MemoryTable.Row) => `${namespace}/${key}`

const stampOf = ({ text }: MemoryTable.Row) => {
  const { stamp } = JSON.parse(text)
  return { stamp: String(stamp), valid: typeof stamp === "string" }
}

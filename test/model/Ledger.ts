/**
 * Notes every version of every row in the moment in which it comes to be, whoever writes it: the histories that a judge holds
 * a plane against.
 */
import { Effect, Layer, Result } from "effect"
import type { JournalRow } from "../../soak/checks/Judge.ts"
import { MemoryDatabases } from "../../src/layers/MemoryDatabases.ts"
import * as MemoryTable from "../../src/schema/MemoryTable.ts"

interface Row {
  readonly namespace: string
  readonly key: string
  readonly value: any
  readonly revision: number
  readonly updatedBy: string
}

export interface Ledger {
  /** Stands between a plane and its databases, and notes what the plane writes. */
  readonly layer: Layer.Layer<MemoryDatabases, never, MemoryDatabases>
  /** To be called when somebody else wrote, with all rows there are. `announced`: whether a trigger told of it. */
  readonly note: (tenant: string, rows: ReadonlyArray<Row>, time: number, announced: boolean) => void
}

export const make = (committed: (tenant: string, rows: ReadonlyArray<JournalRow>) => void): Ledger => {
  const known = new Map<string, ReadonlyMap<string, Row>>()
  let transactions = 0

  const note: Ledger["note"] = (tenant, rows, time, announced) => {
    const before = known.get(tenant) ?? new Map<string, Row>()
    const after = new Map(rows.map((row) => [`${row.namespace}/${row.key}`, row]))
    known.set(tenant, after)
    const common = { committed: time, announced, transaction: String(++transactions) }
    const written = [...after]
      .filter(([key, row]) => !isSame(before.get(key), row))
      .map(([key, row]): JournalRow => {
        const operation = before.has(key) ? "update" : "insert"
        return { key, ...stampOf(row), revision: row.revision, by: row.updatedBy, operation, ...common }
      })
    const erased = [...before.keys()]
      .filter((key) => !after.has(key))
      .map((key): JournalRow => ({ key, ...noRow, ...common }))
    committed(tenant, [...written, ...erased])
  }

  // Part of the transaction, and the last of it: what it sees is what will have been committed.
  const noting =
    (tenant: string): MemoryTable.Statement<any> =>
    (table, now) => {
      const rows = MemoryTable.rows(table).map((row) => ({ ...row, value: JSON.parse(row.text) }))
      note(tenant, rows, now, true)
      return Result.succeed({ table, payloads: [], value: undefined })
    }

  return {
    note,
    layer: Layer.effect(
      MemoryDatabases,
      Effect.map(MemoryDatabases, (databases) =>
        MemoryDatabases.of({
          ...databases,
          run: (tenant, statements) =>
            Effect.map(databases.run(tenant, [...statements, noting(tenant)]), (values) => values.slice(0, -1))
        })
      )
    )
  }
}

const noRow = { stamp: "default", revision: 0, valid: true, by: "", operation: "delete" } as const

const stampOf = ({ value }: Row) => ({ stamp: String(value.stamp), valid: typeof value.stamp === "string" })

const isSame = (a: Row | undefined, b: Row) => a?.revision === b.revision && a.value.stamp === b.value.stamp

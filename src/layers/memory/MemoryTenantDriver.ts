/**
 * The part of `MemoryDriver` that concerns one tenant's database: it writes as another process does, with or without
 * triggers, and copies and restores the table. `MemoryNetwork` has the part that breaks connections.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { EntryStoreError } from "../../schema/EntryStoreError.ts"
import * as JsonText from "../../schema/JsonText.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import * as MemoryStatements from "../../schema/memory/MemoryStatements.ts"
import * as MemoryTable from "../../schema/memory/MemoryTable.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { MemoryChangeOptions, MemoryRow, MemoryTenant } from "../../services/MemoryDriver.ts"
import { execute, type MemoryDatabase } from "./MemoryDatabase.ts"

/** A driver of a tenant's database, beside the drivers of the connections to it. */
export const make = (
  tenant: TenantId,
  database: MemoryDatabase,
  connections: Pick<MemoryTenant, "client" | "feed">
): MemoryTenant => {
  const run = <A>(statements: ReadonlyArray<MemoryStatements.Statement<A>>) =>
    Effect.mapError(execute(database, statements), (reason) => EntryStoreError.of(tenant, reason))

  const replace = (next: (table: MemoryTable.Table) => MemoryTable.Table) =>
    Effect.sync(() => {
      database.table = next(database.table)
    })

  return {
    ...connections,
    write: (key, value, options) => Effect.map(run([writing(key, value, options)]), ([row]) => rowOf(row!)),
    erase: (key, options) => Effect.orDie(Effect.asVoid(run([erasing(key, options)]))),
    transact: (changes, options) =>
      Effect.asVoid(
        run<unknown>(
          changes.map((change) =>
            "value" in change ? writing(change.key, change.value, options) : erasing(change.key, options)
          )
        )
      ),
    truncate: Effect.orDie(Effect.asVoid(run([MemoryStatements.by({ actor: stranger })(MemoryStatements.truncate)]))),
    backup: Effect.sync(() => {
      const copy = database.table
      return replace((table) => MemoryTable.restore(table, copy))
    }),
    rows: Effect.sync(() => MemoryTable.rows(database.table).map(rowOf))
  }
}

/** The name of a writer that gives none. */
const stranger = "stranger"

const writing = (
  { namespace, key }: KeyName,
  value: unknown,
  options: MemoryChangeOptions | undefined
): MemoryStatements.Statement<MemoryTable.Row> => {
  const { actor = stranger, triggers = true } = options ?? {}
  const write = triggers ? MemoryStatements.upsert : MemoryStatements.overwrite
  return Result.match(JsonText.encode(value), {
    onFailure: () => MemoryStatements.refuse,
    onSuccess: (json) => MemoryStatements.by({ actor })(write({ namespace, key, json, actor }))
  })
}

const erasing = (key: KeyName, options: MemoryChangeOptions | undefined) =>
  options?.triggers === false
    ? MemoryStatements.silently(MemoryStatements.erase(key))
    : MemoryStatements.by({ actor: options?.actor ?? stranger })(MemoryStatements.erase(key))

const rowOf = (row: MemoryTable.Row): MemoryRow => ({
  namespace: row.namespace,
  key: row.key,
  ...MemoryTable.entryRow(row)
})

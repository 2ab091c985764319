/**
 * One database in memory: its table, and the sessions that listen on it. All planes that work on the database share it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { EntryStoreErrorReason } from "../../schema/EntryStoreError.ts"
import type * as MemoryStatements from "../../schema/memory/MemoryStatements.ts"
import type * as MemoryTable from "../../schema/memory/MemoryTable.ts"
import * as MemoryTransaction from "../../schema/memory/MemoryTransaction.ts"

/** A table, and the listeners of all sessions of all planes. */
export interface MemoryDatabase {
  table: MemoryTable.Table
  readonly listeners: Set<(payloads: ReadonlyArray<string>) => void>
}

/** Runs statements in one transaction at the time of the clock, and notifies all listeners. */
export const execute = <A>(
  database: MemoryDatabase,
  statements: ReadonlyArray<MemoryStatements.Statement<A>>
): Effect.Effect<ReadonlyArray<A>, EntryStoreErrorReason> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const { payloads, result, table } = MemoryTransaction.transact(database.table, now, statements)
    database.table = table
    if (payloads.length > 0) for (const listener of database.listeners) listener(payloads)
    return Effect.fromResult(result)
  })

/**
 * Statements as one transaction on the table in memory: all of them take effect, at one time and as one change of the
 * history, or none does.
 */
import * as Result from "effect/Result"
import type { EntryStoreErrorReason } from "../EntryStoreError.ts"
import * as MemoryHistory from "./MemoryHistory.ts"
import { record } from "./MemoryRecords.ts"
import type { Statement } from "./MemoryStatements.ts"
import type { Table } from "./MemoryTable.ts"

/** Runs statements in one transaction. */
export const transact = <A>(
  table: Table,
  now: number,
  statements: ReadonlyArray<Statement<A>>
): {
  readonly table: Table
  readonly payloads: ReadonlyArray<string>
  readonly result: Result.Result<ReadonlyArray<A>, EntryStoreErrorReason>
} => {
  let next = table
  const payloads = new Set<string>()
  const values: Array<A> = []
  let changeId: string | undefined
  for (const statement of statements) {
    const done = statement(next, now)
    if (Result.isFailure(done)) {
      const { reason, sequence } = done.failure
      return { table: { ...table, sequence }, payloads: [], result: Result.fail(reason) }
    }
    changeId ??= done.success.by?.changeId ?? MemoryHistory.nextChangeId(table.history)
    next = record(next, done.success, now, changeId)
    values.push(done.success.value)
    for (const payload of done.success.payloads) payloads.add(payload)
  }
  return { table: next, payloads: [...payloads], result: Result.succeed(values) }
}

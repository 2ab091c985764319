/**
 * The records that the history in memory has of the table: one of each change that a statement announces, as the record
 * triggers of PostgreSQL see what the notify triggers see; and those that a verification adds, or a retention removes.
 */
import * as Result from "effect/Result"
import { idOf, type KeyName, nameOf } from "../KeyName.ts"
import type { ChangeRecord } from "../operator/ChangeRecord.ts"
import * as JsonbText from "./JsonbText.ts"
import * as MemoryCatalog from "./MemoryCatalog.ts"
import * as MemoryHistory from "./MemoryHistory.ts"
import type { Done, Statement } from "./MemoryStatements.ts"
import { find, isUntouched, lookUp, type Row, rows, type Table } from "./MemoryTable.ts"

/**
 * The table after a statement, with what the triggers record of it: a row for each entry that it announced, as the
 * record triggers of PostgreSQL see what the notify triggers see. Not of an untouched seed, nor of a row that another
 * writer merely touched.
 */
export const record = <A>(
  before: Table,
  { by = {}, payloads, table }: Done<A>,
  now: number,
  changeId: string
): Table => {
  let history = table.history
  for (const payload of payloads) {
    const name: KeyName = JSON.parse(payload)
    const [old, row] = [find(before, name), find(table, name)]
    const seed = lookUp(before, name)
    const isGone = row === undefined && old === undefined && seed !== undefined && lookUp(table, name) === undefined
    if (row === undefined ? old === undefined && !isGone : isTouched(old, row) && !by.changeId) continue
    const made = isGone ? deletionOf(seed, by, now, changeId) : recordOf(old, row, by, now, changeId)
    history = MemoryHistory.add(history, withheld(table, made, by.secrets))
  }
  return history === table.history ? table : { ...table, history }
}

const recordOf = (
  old: Row | undefined,
  row: Row | undefined,
  { actor, reason }: MemoryHistory.By,
  now: number,
  changeId: string
): Parameters<typeof MemoryHistory.add>[1] => ({
  ...nameOf((row ?? old)!),
  operation: row === undefined ? "delete" : old === undefined ? "create" : "update",
  revision: (row ?? old)!.revision,
  ...(old === undefined ? {} : { previousRevision: old.revision, previousValue: JSON.parse(old.text) }),
  ...(row === undefined ? {} : { value: JSON.parse(row.text) }),
  redacted: false,
  changedAt: MemoryHistory.momentOf(now),
  changedBy: actor ?? row?.updatedBy ?? "stranger",
  changeId,
  ...(reason === undefined ? {} : { reason }),
  origin: "memory"
})

/** The record of a seed that was deleted: to readers nothing was there before. */
const deletionOf = (seed: Row, ...by: [MemoryHistory.By, number, string]): ReturnType<typeof recordOf> => {
  const { previousRevision: _, previousValue: __, ...record } = recordOf(seed, undefined, ...by)
  return record
}

/** A record as the history keeps it: of a secret without the values. */
const withheld = (
  table: Table,
  record: ReturnType<typeof recordOf>,
  secrets: ReadonlyArray<KeyName> = []
): ReturnType<typeof recordOf> => {
  const named = secrets.some((name) => idOf(name) === idOf(record))
  if (!named && !MemoryCatalog.isSecret(table.declarations, record)) return record
  const { previousValue: _, value: __, ...rest } = record
  return { ...rest, redacted: true }
}

/** Whether only who wrote the row and when is another. What was a seed is stored from then on. */
const isTouched = (old: Row | undefined, row: Row) => old !== undefined && old.revision === row.revision

/** Records the entries that differ from the newest record of their key, and returns how many they were. */
export const recordUnrecorded: Statement<number> = (table, now) => {
  const changeId = MemoryHistory.nextChangeId(table.history)
  const last = new Map<string, ChangeRecord>()
  for (const record of MemoryHistory.newestFirst(table.history)) {
    if (!last.has(idOf(record))) last.set(idOf(record), record)
  }
  let history = table.history
  let found = 0
  const close = (old: Row | undefined, row: Row | undefined) => {
    history = MemoryHistory.add(history, withheld(table, recordOf(old, row, { actor: "unrecorded" }, now, changeId)))
    found++
  }
  for (const row of rows(table)) {
    const known = rowOf(last.get(idOf(row)))
    last.delete(idOf(row))
    if (
      !isUntouched(row) &&
      (known?.revision !== row.revision ||
        (known.text !== row.text && !MemoryCatalog.isSecret(table.declarations, row)))
    )
      close(known, row)
  }
  for (const record of last.values()) {
    const known = rowOf(record)
    if (known !== undefined) close(known, undefined)
  }
  return Result.succeed({ table: { ...table, history }, payloads: [], value: found })
}

/** What a record says of the row; `undefined` after a deletion, and without a record. */
const rowOf = (record: ChangeRecord | undefined): Row | undefined =>
  record === undefined || record.operation === "delete"
    ? undefined
    : {
        ...nameOf(record),
        text: JSON.stringify(JsonbText.ordered(record.value ?? null)),
        revision: record.revision,
        updatedAt: record.changedAt.epochMilliseconds,
        updatedBy: record.changedBy,
        fingerprint: 0n
      }

/** Removes the records that a retention no longer keeps, and returns how many they were. */
export const purgeHistory =
  (retention: {
    readonly keepDays?: number | undefined
    readonly keepPerKey?: number | undefined
  }): Statement<number> =>
  (table, now) => {
    const isInForce = (record: ChangeRecord) => find(table, record)?.revision === record.revision
    const history = MemoryHistory.purge(table.history, retention, now, isInForce)
    const count = (history: MemoryHistory.History) => [...MemoryHistory.newestFirst(history)].length
    return Result.succeed({ table: { ...table, history }, payloads: [], value: count(table.history) - count(history) })
  }

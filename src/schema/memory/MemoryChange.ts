/**
 * Changes of a plane on the table in memory: several rows at once, under an id that takes effect once.
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { ChangeIdReused } from "../EntryStoreError.ts"
import { type KeyName, nameOf } from "../KeyName.ts"
import type { ChangeRequest, Receipt, Written } from "../WriteRequest.ts"
import * as JsonbText from "./JsonbText.ts"
import { record } from "./MemoryRecords.ts"
import { erase, failed, put, remove, type Statement, seed, touch } from "./MemoryStatements.ts"
import { entryRow, find, type Table } from "./MemoryTable.ts"

/** What is to become of a key: another text, or no row. */
export interface Item extends KeyName {
  readonly json: string | undefined
  readonly ifRevision?: number | undefined
  /** Whether the history must not keep the value. */
  readonly secret?: boolean | undefined
}

/** Writes and deletes rows as one change, whose id takes effect once. */
export const change =
  (items: ReadonlyArray<Item>, { actor, id, reason }: ChangeRequest): Statement<Receipt> =>
  (table, now) => {
    const before = outcome(table, items, { id })
    if (before === "reused") return failed(table, new ChangeIdReused({ id }))
    if (before._tag === "Landed") return Result.succeed({ table, payloads: [], value: before.receipt })
    let next = table
    const payloads: Array<string> = []
    const written: Array<Written> = []
    for (const item of items) {
      const done = apply(item, actor)(next, now)
      if (Result.isFailure(done)) return Result.fail(done.failure)
      next = done.success.table
      payloads.push(...done.success.payloads)
      written.push(done.success.value)
    }
    const receipt: Receipt = { written, current: true }
    // What wrote nothing leaves no record, and its id is free.
    const isMade = written.some(({ deleted, row }) => deleted !== undefined || row !== undefined)
    const changes = isMade ? HashMap.set(next.changes, id, { content: contentOf(items), receipt }) : next.changes
    return Result.succeed({
      table: { ...next, changes },
      payloads,
      value: receipt,
      by: { changeId: id, actor, reason, secrets: items.filter(({ secret }) => secret === true) }
    })
  }

const apply = ({ ifRevision, json, ...name }: Item, actor: string): Statement<Written> =>
  json === undefined
    ? mapped(remove(name, ifRevision), (deleted) => ({ row: undefined, deleted }))
    : mapped(put({ ...name, json, actor, ifRevision }), (row) => ({ row: entryRow(row), deleted: undefined }))

const mapped =
  <A, B>(statement: Statement<A>, f: (value: A) => B): Statement<B> =>
  (table, now) =>
    Result.map(statement(table, now), (done) => ({ ...done, value: f(done.value) }))

const contentOf = (items: ReadonlyArray<Item>): string =>
  JSON.stringify(
    items
      .map(({ json, key, namespace }) => [namespace, key, json && Result.getOrElse(JsonbText.encode(json), () => json)])
      .sort()
  )

/** What became of a change; `reused` if its id belongs to another content. */
export const outcome = (
  table: Table,
  items: ReadonlyArray<Item>,
  { id }: { readonly id: string }
): { readonly _tag: "Landed"; readonly receipt: Receipt } | { readonly _tag: "NotYet" } | "reused" => {
  const made = Option.getOrUndefined(HashMap.get(table.changes, id))
  if (made === undefined) return { _tag: "NotYet" }
  if (made.content !== contentOf(items)) return "reused"
  const current = items.every(
    (item, index) => find(table, item)?.fingerprint === made.receipt.written[index]!.row?.fingerprint
  )
  return { _tag: "Landed", receipt: { ...made.receipt, current } }
}

/**
 * Keeps a change from taking effect later; returns what it wrote if it did before. As on PostgreSQL it leaves a record
 * that changes nothing: of the row of `one` as it is, or of a seed that was there for a moment.
 */
export const fence =
  (items: ReadonlyArray<Item>, one: Item, { actor, id, reason }: ChangeRequest): Statement<Receipt | undefined> =>
  (table, now) => {
    const before = outcome(table, items, { id })
    if (before === "reused" || before._tag === "Landed") {
      return Result.succeed({ table, payloads: [], value: before === "reused" ? undefined : before.receipt })
    }
    const by = { changeId: id, actor, reason, secrets: one.secret === true ? [one] : [] }
    return Result.flatMap(seed({ ...nameOf(one), json: "null" })(table, now), (seeded) =>
      Result.map((find(table, one) === undefined ? erase(one) : touch(one))(seeded.table, now), (left) => {
        const fenced = record(seeded.table, { ...left, by }, now, id)
        const changes = HashMap.set(fenced.changes, id, { content: "", receipt: { written: [], current: false } })
        return { table: { ...fenced, changes }, payloads: [], value: undefined }
      })
    )
  }

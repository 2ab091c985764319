/**
 * The table `systemplane_entries` as a value, with the rules that triggers enforce in PostgreSQL: what a memory plane
 * works on.
 *
 * ```
 *   (table, now, statements) ──▶ next table + payloads to notify + results, or why nothing was written
 * ```
 *
 * 1. **A revision is drawn on insert and whenever the value changes.** An identical value keeps it; the sequence goes
 *    on across deletions, and a transaction that fails gives back no number, as a sequence does not.
 * 2. **A transaction is all or nothing**, and at one time; what it says twice in the same words is notified once.
 * 3. **Notifications carry names and a revision**, 0 for a deletion; names that no key can have are not announced.
 * 4. **Values are what `jsonb` makes of them**: the last of duplicate names counts, names are ordered by length and
 *    then by their bytes, `1.0` equals `1`, and what `jsonb` refuses is refused.
 * 5. **An untouched seed is no row** to a read, a write or a deletion; the driver sees it (`rows`).
 * 6. **Two versions of a row have two fingerprints**, also across a restored backup. A restored row has its old one.
 *
 * What PostgreSQL does otherwise: numbers keep more digits there than JavaScript has (here `1e400` is refused, and
 * digits beyond a double are lost on the way in, not on the way out); a statement that meets an existing row may skip a
 * revision, so that the distance of two revisions says nothing; fingerprints are hashes of the row. There are no locks
 * here: no statement waits for the row of another, since statements and transactions run one after another.
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { EntryRow } from "./EntryRow.ts"
import { ChangeIdReused, type EntryStoreErrorReason, Refused, RevisionConflict } from "./EntryStoreError.ts"
import * as JsonText from "./JsonText.ts"
import type { KeyName } from "./KeyName.ts"
import * as MemoryCatalog from "./MemoryCatalog.ts"
import * as MemoryHistory from "./MemoryHistory.ts"
import type { ChangeRecord } from "./operator/ChangeRecord.ts"
import type { Catalog, KeyDeclaration } from "./operator/KeyDeclaration.ts"
import * as SeedMark from "./SeedMark.ts"
import type { RowDiff } from "./Snapshot.ts"
import * as StoredValue from "./StoredValue.ts"
import type { ChangeRequest } from "./WriteRequest.ts"

/** A row. `text` is the value as `jsonb` would write it. */
export interface Row {
  readonly namespace: string
  readonly key: string
  readonly text: string
  readonly revision: number
  /** In milliseconds. */
  readonly updatedAt: number
  readonly updatedBy: string
  readonly fingerprint: bigint
}

export interface Table {
  readonly rows: HashMap.HashMap<string, Row>
  /** The last revision that was drawn. */
  readonly sequence: number
  /** How many versions of rows there ever were. */
  readonly versions: bigint
  /** What was recorded of each change. */
  readonly history: MemoryHistory.History
  /** What applications declare of keys. */
  readonly declarations: MemoryCatalog.Declarations
  /** What took effect, by change id. */
  readonly changes: HashMap.HashMap<string, Made>
}

/** A change that took effect. */
interface Made {
  /** What it wrote, as one text. */
  readonly content: string
  readonly receipt: Receipt
}

export const empty: Table = {
  rows: HashMap.empty(),
  sequence: 0,
  versions: 0n,
  history: undefined,
  declarations: [],
  changes: HashMap.empty()
}

/** What one statement did. */
interface Done<A> {
  readonly table: Table
  readonly payloads: ReadonlyArray<string>
  readonly value: A
  /** Who makes the change, and why; for the history. */
  readonly by?: MemoryHistory.By | undefined
}

/** A statement at a time in milliseconds; fails with why it did nothing. */
export type Statement<A> = (table: Table, now: number) => Result.Result<Done<A>, Failed>

/** A statement that failed may have drawn revisions all the same. */
interface Failed {
  readonly sequence: number
  readonly reason: EntryStoreErrorReason
}

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

/**
 * The table after a statement, with what the triggers record of it: a row for each entry that it announced, as the
 * record triggers of PostgreSQL see what the notify triggers see. Not of an untouched seed, nor of a row that another
 * writer merely touched.
 */
const record = <A>(before: Table, { by = {}, payloads, table }: Done<A>, now: number, changeId: string): Table => {
  let history = table.history
  for (const payload of payloads) {
    const name: KeyName = JSON.parse(payload)
    const [old, row] = [find(before, name), find(table, name)]
    if (row === undefined ? old === undefined : isTouched(old, row) && !by.changeId) continue
    history = MemoryHistory.add(history, withheld(table, recordOf(old, row, by, now, changeId), by.secrets))
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

/** Declares keys. The history forgets the values of those that become secrets. */
export const declare =
  (
    declaredBy: string,
    given: ReadonlyArray<KeyDeclaration>
  ): Statement<{ readonly written: number; readonly undeclared: number }> =>
  (table) => {
    const { declarations, written } = MemoryCatalog.declare(table.declarations, declaredBy, given)
    const history = given
      .filter((each) => each.secret && !MemoryCatalog.isSecret(table.declarations, each))
      .reduce(MemoryHistory.redact, table.history)
    const after = { ...table, declarations, history }
    return Result.succeed({ table: after, payloads: [], value: { written, undeclared: catalog(after).unknown.length } })
  }

/** The declared keys, and the stored entries that are not declared. */
export const catalog = (table: Table): Catalog => {
  const keys = MemoryCatalog.keysOf(table.declarations)
  const known = new Set(keys.map(idOf))
  const unknown = rows(table).filter((row) => !isUntouched(row) && !known.has(idOf(row)))
  return { keys, unknown: unknown.map(nameOf) }
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
        text: JSON.stringify(ordered(record.value ?? null)),
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

/** The statement, made by this writer. */
export const by =
  (by: MemoryHistory.By) =>
  <A>(statement: Statement<A>): Statement<A> =>
  (table, now) =>
    Result.map(statement(table, now), (done) => ({ ...done, by }))

/** The row of a key as readers see it: an untouched seed is none. */
export const find = (table: Table, name: KeyName): Row | undefined => {
  const row = lookUp(table, name)
  return row === undefined || isUntouched(row) ? undefined : row
}

const lookUp = (table: Table, name: KeyName): Row | undefined =>
  Option.getOrUndefined(HashMap.get(table.rows, idOf(name)))

const isUntouched = ({ text, updatedBy }: Row): boolean => updatedBy === SeedMark.inMemory(text)

/** All rows, in the order of their names. */
export const rows = (table: Table): ReadonlyArray<Row> =>
  [...HashMap.values(table.rows)].sort((a, b) => compare(a.namespace, b.namespace) || compare(a.key, b.key))

/** A row as every implementation of the store hands it over; each time a value of its own. */
export const entryRow = ({ fingerprint, revision, text, updatedAt, updatedBy }: Row): EntryRow => ({
  ...StoredValue.parse(text),
  revision,
  updatedAt,
  updatedBy,
  fingerprint
})

/** How the table differs from what is known of these keys. */
export const diff = (
  table: Table,
  keys: ReadonlyArray<KeyName>,
  known: ReadonlyArray<bigint | undefined>
): ReadonlyArray<RowDiff> =>
  keys.flatMap((key, slot) => {
    const row = find(table, key)
    return row?.fingerprint === known[slot] ? [] : [{ slot, row: row && entryRow(row) }]
  })

export interface Put extends KeyName {
  readonly json: string
  readonly actor: string
  /** Write only over this revision; 0: only if there is no row. */
  readonly ifRevision?: number | undefined
}

/** Writes the row of a key, as the plane does: it says when and by whom, also if the value stays. */
export const put =
  (write: Put): Statement<Row> =>
  (table, now) => {
    const before = find(table, write)
    const actual = before?.revision ?? 0
    if (write.ifRevision !== undefined && write.ifRevision !== actual) {
      return failed(table, mismatch(write, write.ifRevision, actual))
    }
    return Result.mapBoth(jsonb(write.json), {
      onFailure: (reason) => ({ sequence: table.sequence, reason }),
      onSuccess: (text) => {
        const drawn = draw(table, before, text)
        return written(table, { ...nameOf(write), text, ...drawn, updatedAt: now, updatedBy: write.actor })
      }
    })
  }

/** Deletes the row of a key, and says which revision it had. */
export const remove =
  (name: KeyName, ifRevision?: number | undefined): Statement<number | undefined> =>
  (table) => {
    const row = find(table, name)
    const actual = row?.revision ?? 0
    if (ifRevision !== undefined && ifRevision !== actual) return failed(table, mismatch(name, ifRevision, actual))
    if (row === undefined) return Result.succeed({ table, payloads: [], value: undefined })
    return Result.succeed({
      table: { ...table, rows: HashMap.remove(table.rows, idOf(name)) },
      payloads: announce(name, "delete", 0),
      value: row.revision
    })
  }

/** Writes a default as an untouched seed if its key has no row, and says whether it did. */
export const seed =
  (seed: KeyName & { readonly json: string }): Statement<boolean> =>
  (table, now) => {
    if (lookUp(table, seed) !== undefined) return Result.succeed({ table, payloads: [], value: false })
    const text = jsonb(seed.json)
    const actor = Result.isSuccess(text) ? SeedMark.inMemory(text.success) : ""
    return Result.map(put({ ...seed, actor })(table, now), (done) => ({ ...done, value: true }))
  }

/** What is to become of a key: another text, or no row. */
export interface Item extends KeyName {
  readonly json: string | undefined
  readonly ifRevision?: number | undefined
  /** Whether the history must not keep the value. */
  readonly secret?: boolean | undefined
}

/** What a change made of one key. */
interface Written {
  readonly row: EntryRow | undefined
  readonly deleted: number | undefined
}

interface Receipt {
  readonly written: ReadonlyArray<Written>
  readonly current: boolean
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
    const made = HashMap.set(next.changes, id, { content: contentOf(items), receipt })
    return Result.succeed({
      table: { ...next, changes: made },
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
    items.map(({ json, key, namespace }) => [namespace, key, json && Result.getOrElse(jsonb(json), () => json)]).sort()
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

/** Keeps a change from taking effect later; returns what it wrote if it did before. */
export const fence =
  (items: ReadonlyArray<Item>, { id }: { readonly id: string }): Statement<Receipt | undefined> =>
  (table) => {
    const before = outcome(table, items, { id })
    if (before === "reused" || before._tag === "Landed") {
      return Result.succeed({ table, payloads: [], value: before === "reused" ? undefined : before.receipt })
    }
    const changes = HashMap.set(table.changes, id, { content: "", receipt: { written: [], current: false } })
    return Result.succeed({ table: { ...table, changes }, payloads: [], value: undefined })
  }

/**
 * Writes a row as plain SQL by hand does: `updated_at` moves only with the value, and a row that stays as it was is not
 * announced.
 */
export const upsert =
  (write: Put): Statement<Row> =>
  (table, now) =>
    Result.flatMap(put(write)(table, now), (done) => {
      const before = find(table, write)
      if (before?.text !== done.value.text) return Result.succeed(done)
      return before.updatedBy === done.value.updatedBy
        ? Result.succeed({ table, payloads: [], value: before })
        : Result.succeed(written(table, { ...done.value, updatedAt: before.updatedAt }))
    })

/** Writes a row with the triggers disabled, as replication and restoring do: nothing is drawn, nothing announced. */
export const overwrite = (write: Put): Statement<Row> =>
  silently((table, now) => {
    const { revision = 0, updatedAt = now } = find(table, write) ?? {}
    return Result.mapBoth(jsonb(write.json), {
      onFailure: (reason) => ({ sequence: table.sequence, reason }),
      onSuccess: (text) => written(table, { ...nameOf(write), text, revision, updatedAt, updatedBy: write.actor })
    })
  })

/** The statement, unannounced. */
export const silently =
  <A>(statement: Statement<A>): Statement<A> =>
  (table, now) =>
    Result.map(statement(table, now), (done) => ({ ...done, payloads: [] }))

/** A statement with a value that `jsonb` cannot hold. */
export const refuse: Statement<never> = (table) => failed(table, new Refused({ code: "22P05" }))

/** Takes a table back to an older copy of it, its sequence too. */
export const restore = (table: Table, copy: Table): Table => ({ ...copy, versions: table.versions })

/** Deletes all rows. Each is announced and recorded, as by the trigger on `TRUNCATE`. */
export const truncate: Statement<void> = (table) =>
  Result.succeed({
    table: { ...table, rows: HashMap.empty() },
    payloads: rows(table).flatMap((row) => announce(row, "delete", 0)),
    value: undefined
  })

const idOf = ({ key, namespace }: KeyName) => JSON.stringify([namespace, key])

const nameOf = ({ key, namespace }: KeyName): KeyName => ({ namespace, key })

const draw = (table: Table, before: Row | undefined, text: string) =>
  before?.text === text
    ? { revision: before.revision, sequence: table.sequence }
    : { revision: table.sequence + 1, sequence: table.sequence + 1 }

const written = (
  table: Table,
  { sequence = table.sequence, ...fields }: Omit<Row, "fingerprint"> & { readonly sequence?: number }
): Done<Row> => {
  const row: Row = { ...fields, fingerprint: table.versions + 1n }
  return {
    table: { ...table, rows: HashMap.set(table.rows, idOf(row), row), sequence, versions: row.fingerprint },
    payloads: announce(row, "upsert", row.revision),
    value: row
  }
}

/** What a payload may hold: a PostgreSQL server leaves longer ones out too. */
const payloadLimit = 8000

const announce = ({ key, namespace }: KeyName, op: "upsert" | "delete", revision: number): ReadonlyArray<string> => {
  const payload = JSON.stringify({ namespace, key, op, revision })
  return utf8.encode(payload).length < payloadLimit ? [payload] : []
}

const utf8 = new TextEncoder()

const failed = (table: Table, reason: EntryStoreErrorReason) => Result.fail({ sequence: table.sequence, reason })

const mismatch = ({ key, namespace }: KeyName, expected: number, actual: number) =>
  new RevisionConflict({ namespace, key, expected, actual })

/** The text of a value as `jsonb` writes it, but for white space; or the refusal that PostgreSQL answers with. */
const jsonb = (json: string): Result.Result<string, Refused> => {
  try {
    const value: unknown = JSON.parse(json)
    return Result.isSuccess(JsonText.encode(value))
      ? Result.succeed(JSON.stringify(ordered(value)))
      : Result.fail(new Refused({ code: "22P05" }))
  } catch {
    return Result.fail(new Refused({ code: "22P02" }))
  }
}

const ordered = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(ordered)
  if (typeof value !== "object" || value === null) return value
  const byLengthThenBytes = Object.entries(value).map(([name, part]) => ({ name, bytes: utf8.encode(name), part }))
  byLengthThenBytes.sort((a, b) => a.bytes.length - b.bytes.length || compareBytes(a.bytes, b.bytes))
  return Object.fromEntries(byLengthThenBytes.map(({ name, part }) => [name, ordered(part)]))
}

const compareBytes = (a: Uint8Array, b: Uint8Array): number => {
  const at = a.findIndex((byte, i) => byte !== b[i])
  return at < 0 ? 0 : a[at]! - b[at]!
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

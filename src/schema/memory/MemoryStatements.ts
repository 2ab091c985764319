/**
 * Statements on the table in memory: one row is written, seeded or deleted, as a plane does it or as another writer
 * does it by hand. `MemoryTransaction` runs them.
 */
import * as HashMap from "effect/HashMap"
import * as Result from "effect/Result"
import { type EntryStoreErrorReason, Refused, RevisionConflict } from "../EntryStoreError.ts"
import { idOf, type KeyName, nameOf } from "../KeyName.ts"
import * as SeedMark from "../SeedMark.ts"
import * as JsonbText from "./JsonbText.ts"
import type { By } from "./MemoryHistory.ts"
import { find, lookUp, type Row, rows, type Table } from "./MemoryTable.ts"

/** What one statement did. */
export interface Done<A> {
  readonly table: Table
  readonly payloads: ReadonlyArray<string>
  readonly value: A
  /** Who makes the change, and why; for the history. */
  readonly by?: By | undefined
}

/** A statement at a time in milliseconds; fails with why it did nothing. */
export type Statement<A> = (table: Table, now: number) => Result.Result<Done<A>, Failed>

/** A statement that failed may have drawn revisions all the same. */
export interface Failed {
  readonly sequence: number
  readonly reason: EntryStoreErrorReason
}

/** The statement, made by this writer. */
export const by =
  (by: By) =>
  <A>(statement: Statement<A>): Statement<A> =>
  (table, now) =>
    Result.map(statement(table, now), (done) => ({ ...done, by }))

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
    return Result.mapBoth(JsonbText.encode(write.json), {
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

/** Deletes the row of a key as plain SQL by hand does: a seed too. */
export const erase =
  (name: KeyName): Statement<void> =>
  (table) =>
    Result.succeed({
      table: { ...table, rows: HashMap.remove(table.rows, idOf(name)) },
      payloads: lookUp(table, name) === undefined ? [] : announce(name, "delete", 0),
      value: undefined
    })

/** Writes the row of a key again as it is. */
export const touch =
  (name: KeyName): Statement<void> =>
  (table) =>
    Result.succeed({ table, payloads: announce(name, "upsert", find(table, name)?.revision ?? 0), value: undefined })

/** Writes a default as an untouched seed if its key has no row, and says whether it did. */
export const seed =
  (seed: KeyName & { readonly json: string }): Statement<boolean> =>
  (table, now) => {
    if (lookUp(table, seed) !== undefined) return Result.succeed({ table, payloads: [], value: false })
    const text = JsonbText.encode(seed.json)
    const actor = Result.isSuccess(text) ? SeedMark.inMemory(text.success) : ""
    return Result.map(put({ ...seed, actor })(table, now), (done) => ({ ...done, value: true }))
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
    return Result.mapBoth(JsonbText.encode(write.json), {
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

/** Deletes all rows. Each is announced and recorded, as by the trigger on `TRUNCATE`. */
export const truncate: Statement<void> = (table) =>
  Result.succeed({
    table: { ...table, rows: HashMap.empty() },
    payloads: rows(table).flatMap((row) => announce(row, "delete", 0)),
    value: undefined
  })

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

/** A statement that failed for this reason, and drew nothing. */
export const failed = (table: Table, reason: EntryStoreErrorReason) => Result.fail({ sequence: table.sequence, reason })

const mismatch = ({ key, namespace }: KeyName, expected: number, actual: number) =>
  new RevisionConflict({ namespace, key, expected, actual })

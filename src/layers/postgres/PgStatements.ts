/**
 * The statements about single entries. Each is one round trip, and decodes what it returns.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import { EntryRow } from "../../schema/EntryRow.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import type { Query } from "../../services/Connector.ts"
import type { EntryWrite } from "../../services/EntryStore.ts"
import { columns, decodeRows, isStored, shownRevision, unexpectedShape } from "./PgRows.ts"

/** The statement of `read`. Exported so that tests recognise it by identity. */
export const selectRow = `SELECT ${columns} FROM systemplane_entries AS e
  WHERE e.namespace = $1 AND e.key = $2 AND ${isStored}`

/** The row of a key; none if it is an untouched seed. */
export const read = (query: Query, { key, namespace }: KeyName): Effect.Effect<Option.Option<EntryRow>, SqlError> =>
  query(selectRow, [namespace, key]).pipe(
    Effect.flatMap(decodeRows),
    Effect.map((rows) => Option.fromUndefinedOr(rows[0])),
    unexpectedShape
  )

/**
 * How long a write waits for a row that another transaction holds, where the role or the database does not say. A statement
 * waits twice at most, for its turn and for that transaction: 4 of the 5 seconds it may take, so that the server gives the write
 * up while somebody still listens, and its outcome is known. In the
 * statement itself, since a pooler may give the next one to another session; and looked at whenever a wait begins, unlike
 * `statement_timeout`.
 */
const patience = `
  set_config('lock_timeout', coalesce(nullif(current_setting('lock_timeout'), '0'), '2s'), true) AS patience`

/**
 * Writes the row of a key, where it is at the expected revision; the trigger draws the new one. `None` where it is not: under
 * `READ COMMITTED` a concurrent writer's row is waited for and looked at again, so that of several writers who expect the same
 * revision one succeeds.
 */
export const put = (
  query: Query,
  { ifRevision, json, key, namespace }: EntryWrite,
  actor: string
): Effect.Effect<Option.Option<EntryRow>, SqlError> => {
  const insert = `INSERT INTO systemplane_entries AS e (namespace, key, value, updated_at, updated_by)
                  SELECT $1::text, $2::text, $3::jsonb, now(), $4::text FROM ${patience}`
  const statement =
    ifRevision === undefined
      ? `${insert}
         ON CONFLICT (namespace, key) DO UPDATE
         SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by`
      : ifRevision === 0
        ? `${insert}
           ON CONFLICT (namespace, key) DO UPDATE
           SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by
           WHERE NOT ${isStored}`
        : `UPDATE systemplane_entries AS e SET value = $3::jsonb, updated_at = now(), updated_by = $4
           FROM ${patience}
           WHERE e.namespace = $1 AND e.key = $2 AND ${shownRevision} = $5`
  const guard = ifRevision === undefined || ifRevision === 0 ? [] : [ifRevision]
  return query(`${statement} RETURNING ${columns}`, [namespace, key, json, actor, ...guard]).pipe(
    Effect.flatMap(decodeRows),
    Effect.map((rows) => Option.fromUndefinedOr(rows[0])),
    unexpectedShape
  )
}

const Deleted = Schema.Array(EntryRow.mapFields(({ revision }) => ({ revision })))
const decodeDeleted = Schema.decodeUnknownEffect(Deleted)

/** Deletes the row of a key, where it is at the expected revision, and returns that revision. */
export const remove = (
  query: Query,
  { key, namespace }: KeyName,
  ifRevision: number | undefined
): Effect.Effect<Option.Option<number>, SqlError> =>
  query(
    `DELETE FROM systemplane_entries AS e USING ${patience}
     WHERE e.namespace = $1 AND e.key = $2 AND ${isStored} AND ($3::int8 IS NULL OR ${shownRevision} = $3)
     RETURNING ${shownRevision}::float8 AS revision`,
    [namespace, key, ifRevision ?? null]
  ).pipe(
    Effect.flatMap(decodeDeleted),
    Effect.map((rows) => Option.map(Option.fromUndefinedOr(rows[0]), (row) => row.revision)),
    unexpectedShape
  )

/**
 * Keeps the late copies of a change that wrote nothing from taking effect.
 *
 * A change id takes effect once because its first copy leaves a record. A removal that finds no row leaves none, nor
 * does a write that expects no row and finds one: an earlier copy, still on its way, would take effect as soon as
 * another writer creates or deletes that row. Here the id gets a record that changes nothing. A row is written again as
 * it is; in the place of a row that is missing, a seed is inserted and deleted in the same transaction, which no reader
 * sees. In both cases the lock is that of the key, so that no copy takes effect at the same time.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { isChange } from "../../schema/ddl/DdlChange.ts"
import * as SecretNames from "../../schema/SecretNames.ts"
import * as SeedMark from "../../schema/SeedMark.ts"
import type { ChangeRequest } from "../../schema/WriteRequest.ts"
import type { Query } from "../../services/Connector.ts"
import type { EntryWrite } from "../../services/EntryStore.ts"
import { isStored, unexpectedShape } from "./PgRows.ts"
import { settings } from "./PgWrites.ts"

const occupy = `
  WITH settings AS MATERIALIZED (${settings("$3", "$4", "$5", "$6")})
  INSERT INTO systemplane_entries AS e (namespace, key, value, updated_by)
  SELECT $1::text, $2::text, g.value, ${SeedMark.seedMark("g.value")}
  FROM settings CROSS JOIN (SELECT 'null'::jsonb AS value) AS g
  ON CONFLICT (namespace, key) DO UPDATE SET value = e.value WHERE ${isStored}
  RETURNING e.xmax = 0 AS inserted`

const vacate = `
  DELETE FROM systemplane_entries AS e WHERE e.namespace = $1 AND e.key = $2 AND NOT (${isStored})`

const selectFenced = `
  SELECT EXISTS (
    SELECT FROM systemplane_history AS h WHERE ${isChange("h", "$1::uuid")} AND h.transaction_id = pg_current_xact_id()
  ) AND NOT ($4::boolean AND EXISTS (SELECT FROM systemplane_entries AS e WHERE e.namespace = $2 AND e.key = $3)) AS fenced`

const Occupied = Schema.Array(Schema.Struct({ inserted: Schema.Boolean }))
const decodeOccupied = Schema.decodeUnknownEffect(Occupied)

const Fenced = Schema.NonEmptyArray(Schema.Struct({ fenced: Schema.Boolean }))
const decodeFenced = Schema.decodeUnknownEffect(Fenced)

const notFenced = new SqlError({
  reason: new UnknownError({ cause: { code: "40001" }, message: "The change left no record", operation: "query" })
})

/** Runs in a transaction of its own. Fails if a copy took effect before, and then leaves nothing behind. */
export const fence = (query: Query, write: EntryWrite, { actor, id, reason }: ChangeRequest) => {
  const { key, namespace, secret } = write
  const secrets = SecretNames.encode(secret === true ? [write] : [])
  return query(occupy, [namespace, key, id, actor, reason ?? "", secrets]).pipe(
    Effect.flatMap(decodeOccupied),
    Effect.tap(() => query(vacate, [namespace, key])),
    // Unless a value was stored there, no row may stay: one that a trigger of others changed is no seed any more.
    Effect.flatMap((rows) => query(selectFenced, [id, namespace, key, rows.every(({ inserted }) => inserted)])),
    Effect.flatMap(decodeFenced),
    unexpectedShape,
    Effect.flatMap(([{ fenced }]) => (fenced ? Effect.void : Effect.fail(notFenced)))
  )
}

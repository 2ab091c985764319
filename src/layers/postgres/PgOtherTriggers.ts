/**
 * Triggers on the table of entries that are not the plane's own.
 *
 * They belong to the users of a database, and may do what they like: rewrite a row, skip it, or write another one in
 * its place. What the plane writes is compared with what it asked for, and these names tell an operator where to look.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import * as Ddl from "../../schema/ddl/Ddl.ts"
import * as DdlEntries from "../../schema/ddl/DdlEntries.ts"
import type { Query } from "../../services/Connector.ts"
import { unexpectedShape } from "./PgRows.ts"

const own = Ddl.objects(true).flatMap((object) =>
  object.kind === "triggers"
    ? object.triggers.filter(({ table }) => table === DdlEntries.table.relation).map(({ name }) => `'${name}'`)
    : []
)

/** The rows of `pg_trigger` of others that fire, as a `FROM` clause with `t`. */
const from = `FROM pg_trigger AS t
    WHERE t.tgrelid = pg_catalog.to_regclass('systemplane_entries')::oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
      AND t.tgname NOT IN (${own.join(", ")})`

/** Bits of `tgtype`: https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/catalog/pg_trigger.h */
const [row, before, insert] = [1, 2, 4]

/** Whether one may skip or rewrite a row before it is written. */
export const mayChangeRows = `EXISTS (SELECT ${from} AND t.tgtype::integer & ${row | before} = ${row | before})`

/** Whether one may do something after rows were inserted. */
export const followsInserts = `EXISTS (SELECT ${from} AND t.tgtype::integer & ${before} = 0 AND t.tgtype::integer & ${insert} <> 0)`

const selectNames = `SELECT t.tgname::text AS name ${from} AND t.tgtype::integer & ${row | before} = ${row | before} ORDER BY t.tgname`

const decodeNames = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ name: Schema.String })))

/** The names of those that may skip or rewrite a row before it is written. */
export const names = (query: Query): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  query(selectNames).pipe(
    Effect.flatMap(decodeNames),
    Effect.map((rows) => rows.map(({ name }) => name)),
    unexpectedShape
  )

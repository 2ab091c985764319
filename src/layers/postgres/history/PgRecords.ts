/**
 * Records of the history as statements return them: the columns that each statement selects, and what they decode to.
 *
 * A value that is longer than a reader of entries would get stays in the database, and the record says so. What a
 * restored record holds beyond what JavaScript can express, as a year or a revision, is shown as the nearest that it
 * can.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { ChangeRecord } from "../../../schema/operator/ChangeRecord.ts"
import { boundedText, inRange, isKeptBack, unexpectedShape } from "../PgRows.ts"

const [value, previousValue] = [boundedText("h.value"), boundedText("h.previous_value")]

/** How long the values of a record `h` are as they travel, in bytes. */
export const bytes = `coalesce(pg_catalog.octet_length(${value}), 0) + coalesce(pg_catalog.octet_length(${previousValue}), 0)`

/**
 * After this many bytes of values a page ends, before its limit. A value alone is at most 1 MiB, and the driver takes
 * no message above 16 MiB.
 */
export const pageBytes = 4_194_304

/** The columns of a record that a statement calls `h`. A value that a reader of entries would not get stays away. */
export const columns = `
  h.id::float8 AS id, h.namespace, h.key, h.operation,
  ${inRange("h.revision")}::float8 AS revision,
  CASE WHEN h.previous_revision IS NOT NULL
    THEN ${inRange("h.previous_revision")} END::float8 AS "previousRevision",
  ${value} AS value, ${previousValue} AS "previousValue", coalesce(h.redacted, false) AS redacted,
  pg_catalog.date_part('epoch', h.changed_at) * 1000::float8 AS millis, h.changed_by AS "changedBy", h.change_id::text AS "changeId",
  h.reason, h.origin`

const Columns = Schema.Struct({
  id: Schema.Number,
  namespace: Schema.String,
  key: Schema.String,
  operation: Schema.Literals(["create", "update", "delete"]),
  revision: Schema.Number,
  previousRevision: Schema.NullOr(Schema.Number),
  value: Schema.NullOr(Schema.String),
  previousValue: Schema.NullOr(Schema.String),
  redacted: Schema.Boolean,
  millis: Schema.Number,
  changedBy: Schema.String,
  changeId: Schema.NullOr(Schema.String),
  reason: Schema.NullOr(Schema.String),
  origin: Schema.NullOr(Schema.String)
})
const decodeColumns = Schema.decodeUnknownEffect(Schema.Array(Columns))

/** The records in the rows of an answer. */
export const decode = (rows: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<ChangeRecord>, Schema.SchemaError> =>
  Effect.map(decodeColumns(rows), (rows) => rows.map(recordOf))

const lastMoment = Date.UTC(9999, 11, 31)

const recordOf = (row: typeof Columns.Type): ChangeRecord => ({
  id: row.id,
  namespace: row.namespace,
  key: row.key,
  operation: row.operation,
  revision: row.revision,
  ...(row.previousRevision === null ? {} : { previousRevision: row.previousRevision }),
  ...(row.previousValue === null || isKeptBack(row.previousValue)
    ? {}
    : { previousValue: JSON.parse(row.previousValue) as Schema.Json }),
  ...(row.value === null || isKeptBack(row.value) ? {} : { value: JSON.parse(row.value) as Schema.Json }),
  ...([row.value, row.previousValue].some((text) => text !== null && isKeptBack(text)) ? { oversized: true } : {}),
  redacted: row.redacted,
  // A restored record may hold a time beyond what JavaScript can express.
  changedAt: DateTime.makeUnsafe(Math.floor(Math.min(Math.max(row.millis, 0), lastMoment))),
  changedBy: row.changedBy,
  ...(row.changeId === null ? {} : { changeId: row.changeId }),
  ...(row.reason === null ? {} : { reason: row.reason }),
  ...(row.origin === null ? {} : { origin: row.origin })
})

export const recordsOf = (rows: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
  rows.pipe(Effect.flatMap(decode), unexpectedShape)

/** Records hold microseconds and readers milliseconds: the moment that a reader was shown includes the record. */
export const shownAt = (alias: string) => `pg_catalog.date_trunc('milliseconds', ${alias}.changed_at)`
export const moment = (parameter: string) => `pg_catalog.to_timestamp(${parameter}::float8 / 1000::float8)`

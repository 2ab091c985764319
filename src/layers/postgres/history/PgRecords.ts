/**
 * Records of the history as statements return them.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { ChangeRecord } from "../../../schema/operator/ChangeRecord.ts"
import { inRange, unexpectedShape } from "../PgRows.ts"

/** The columns of a record that a statement calls `h`. */
export const columns = `
  h.id::float8 AS id, h.namespace, h.key, h.operation,
  ${inRange("h.revision")}::float8 AS revision,
  CASE WHEN h.previous_revision IS NOT NULL
    THEN ${inRange("h.previous_revision")} END::float8 AS "previousRevision",
  h.value, h.value IS NOT NULL AS "hasValue", h.previous_value AS "previousValue",
  h.previous_value IS NOT NULL AS "hasPreviousValue", coalesce(h.redacted, false) AS redacted,
  date_part('epoch', h.changed_at) * 1000 AS millis, h.changed_by AS "changedBy", h.change_id::text AS "changeId",
  h.reason, h.origin`

const Columns = Schema.Struct({
  id: Schema.Number,
  namespace: Schema.String,
  key: Schema.String,
  operation: Schema.Literals(["create", "update", "delete"]),
  revision: Schema.Number,
  previousRevision: Schema.NullOr(Schema.Number),
  value: Schema.Unknown,
  hasValue: Schema.Boolean,
  previousValue: Schema.Unknown,
  hasPreviousValue: Schema.Boolean,
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

const latest = Date.UTC(9999, 11, 31)

const recordOf = (row: typeof Columns.Type): ChangeRecord => ({
  id: row.id,
  namespace: row.namespace,
  key: row.key,
  operation: row.operation,
  revision: row.revision,
  ...(row.previousRevision === null ? {} : { previousRevision: row.previousRevision }),
  ...(row.hasPreviousValue ? { previousValue: row.previousValue as Schema.Json } : {}),
  ...(row.hasValue ? { value: row.value as Schema.Json } : {}),
  redacted: row.redacted,
  // A restored record may hold a time beyond what JavaScript can express.
  changedAt: DateTime.makeUnsafe(Math.floor(Math.min(Math.max(row.millis, 0), latest))),
  changedBy: row.changedBy,
  ...(row.changeId === null ? {} : { changeId: row.changeId }),
  ...(row.reason === null ? {} : { reason: row.reason }),
  ...(row.origin === null ? {} : { origin: row.origin })
})

export const recordsOf = (rows: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
  rows.pipe(Effect.flatMap(decode), unexpectedShape)

/** Records hold microseconds and readers milliseconds: the moment that a reader was shown includes the record. */
export const shownAt = (alias: string) => `date_trunc('milliseconds', ${alias}.changed_at)`
export const moment = (parameter: string) => `to_timestamp(${parameter}::float8 / 1000)`

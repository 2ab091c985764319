/**
 * What keys were before: the records of a key or a change, and all entries as they were at a moment.
 *
 * Records of one key come in pages, newest first. `recall` asks for the past of many keys in one statement: it finds
 * values that today's schemas may still decode, and its answer is bounded for each key. A value that the history did
 * not keep, as that of a secret, is told from one that was deleted.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { isChange } from "../../../schema/ddl/DdlChange.ts"
import type { KeyName } from "../../../schema/KeyName.ts"
import { pastEntry } from "../../../schema/operator/ChangeRecord.ts"
import * as WritableValue from "../../../schema/WritableValue.ts"
import type { Query } from "../../../services/Connector.ts"
import type { PastRequest, PastRow } from "../../../services/HistoryStore.ts"
import { arrayOf, columnsWith, decodeRows, unexpectedShape } from "../PgRows.ts"
import { bytes, columns, decode, moment, pageBytes, recordsOf, shownAt } from "./PgRecords.ts"

const aboveAllIds = "9223372036854775807"

const nextOfKey = (before: string) => `
      SELECT h.id, ${bytes} AS bytes FROM systemplane_history AS h
      WHERE h.namespace = $1 AND h.key = $2 AND h.id < ${before}
      ORDER BY h.id DESC LIMIT 1`

// From record to record, until the page is full: no later value is looked at.
const selectOfKey = `
  WITH RECURSIVE walked AS (
    SELECT n.id, n.bytes, 1 AS place FROM (${nextOfKey(`coalesce($3::int8, ${aboveAllIds})`)}) AS n WHERE $4 > 0
    UNION ALL
    SELECT n.id, w.bytes + n.bytes, w.place + 1
    FROM walked AS w, LATERAL (${nextOfKey("w.id")}) AS n
    WHERE w.bytes <= ${pageBytes} AND w.place < $4
  )
  SELECT w.bytes > ${pageBytes} AS full, ${columns}
  FROM walked AS w, LATERAL (SELECT h.* FROM systemplane_history AS h WHERE h.id = w.id OFFSET 0) AS h
  ORDER BY h.id DESC`

const decodeFull = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ full: Schema.Boolean })))

const selectOfRevision = `
  SELECT ${columns} FROM systemplane_history AS h
  WHERE h.namespace = $1 AND h.key = $2 AND h.revision = $3 AND h.operation <> 'delete'
  ORDER BY h.id DESC LIMIT 1`

/** More than this of the records of one key travels only if one record alone is longer. */
const recalledBytes = 65_536

/** How long the records of a row are that come before it, by this size. */
const before = (size: string) =>
  `coalesce(pg_catalog.sum(${size}) OVER (ORDER BY n.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)`

// The record of the rejected row itself is left out, unless none was made of it: to write a long value out takes the
// server longer than to compare it. What is long as it is stored is not even looked at.
/** Exported so that tests recognise it. */
export const selectPast = `
  SELECT a.place::float8 AS place, e.id::float8 AS id, e.deleted, e.kept, ${columnsWith("0::int8")}
  FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) WITH ORDINALITY AS a (namespace, key, revision, before, place)
  CROSS JOIN LATERAL (
    SELECT n.id, n.revision, n.value, n.changed_at AS updated_at, n.changed_by AS updated_by, n.operation = 'delete' AS deleted,
      n.value IS NOT NULL AND n.redacted IS NOT TRUE AS kept, ${before(WritableValue.size("n.value"))} AS before
    FROM (
      SELECT n.*, ${before("pg_catalog.pg_column_size(n.value)")} AS stored FROM (
        SELECT h.* FROM systemplane_history AS h
        WHERE h.namespace = a.namespace AND h.key = a.key AND h.revision <= a.revision AND h.id < coalesce(a.before, ${aboveAllIds})
          AND (h.revision = a.revision AND h.value = (
            SELECT e.value FROM systemplane_entries AS e WHERE e.namespace = a.namespace AND e.key = a.key
          )) IS NOT TRUE
        ORDER BY h.id DESC LIMIT $5
      ) AS n
    ) AS n
    WHERE n.stored < ${recalledBytes}
  ) AS e
  WHERE e.before < ${recalledBytes}
  ORDER BY a.place, e.id DESC`

const Past = Schema.Array(
  Schema.Struct({ place: Schema.Number, id: Schema.Number, deleted: Schema.Boolean, kept: Schema.Boolean })
)

export const recall = (keys: ReadonlyArray<PastRequest>, limit: number) => (query: Query) =>
  query(selectPast, [
    arrayOf(keys.map(({ namespace }) => namespace)),
    arrayOf(keys.map(({ key }) => key)),
    `{${keys.map(({ revision }) => revision).join(",")}}`,
    `{${keys.map(({ before }) => before ?? "NULL").join(",")}}`,
    limit
  ]).pipe(
    Effect.flatMap((rows) =>
      Effect.zipWith(Schema.decodeUnknownEffect(Past)(rows), decodeRows(rows), (past, rows) => {
        const found: Array<Array<PastRow>> = keys.map(() => [])
        for (const [i, { deleted, id, kept, place }] of past.entries()) {
          const row = rows[i]!
          found[place - 1]!.push({ id, revision: row.revision, deleted, row: kept ? row : undefined })
        }
        return found
      })
    ),
    unexpectedShape
  )

const selectOfChange = `
  SELECT ${columns} FROM systemplane_history AS h WHERE ${isChange("h", "$1::uuid")} ORDER BY h.id`

const selectAt = `
  SELECT ${columns} FROM (
    SELECT DISTINCT ON (n.namespace, n.key) n.* FROM systemplane_history AS n
    WHERE ${shownAt("n")} <= ${moment("$1")}
    ORDER BY n.namespace, n.key, n.id DESC
  ) AS h
  WHERE h.operation <> 'delete'
  ORDER BY h.namespace COLLATE "C", h.key COLLATE "C"`

export const ofKey =
  ({ key, namespace }: KeyName, { before, limit }: { readonly before: number | undefined; readonly limit: number }) =>
  (query: Query) =>
    query(selectOfKey, [namespace, key, before ?? null, limit]).pipe(
      Effect.flatMap((rows) =>
        Effect.zipWith(decodeFull(rows), decode(rows), (places, records) => ({
          records,
          full: places.some(({ full }) => full)
        }))
      ),
      unexpectedShape
    )

export const ofRevision =
  ({ key, namespace }: KeyName, revision: number) =>
  (query: Query) =>
    Effect.map(recordsOf(query(selectOfRevision, [namespace, key, BigInt(revision)])), ([record]) => record)

export const ofChange = (changeId: string) => (query: Query) => recordsOf(query(selectOfChange, [changeId]))

export const at = (millis: number) => (query: Query) =>
  Effect.map(recordsOf(query(selectAt, [millis])), (records) => records.map(pastEntry))

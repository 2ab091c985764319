/**
 * Pages of whole changes, newest first.
 *
 * A change is what one transaction recorded, under one change id. A page shows a change with all its records, also
 * those that the question does not fit, and ends after as many changes as were asked for, or after as many bytes as an
 * answer may have. Records that another service wrote before this library came have no change id: each is a change by
 * itself.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { isChange } from "../../../schema/ddl/DdlChange.ts"
import type { ChangeRecord, CheckedQuery } from "../../../schema/operator/ChangeRecord.ts"
import type { Query } from "../../../services/Connector.ts"
import type { ListedChange } from "../../../services/HistoryStore.ts"
import { unexpectedShape } from "../PgRows.ts"
import { bytes, columns, decode, moment, pageBytes, shownAt } from "./PgRecords.ts"

/** Of a change with more records the rest is taken to be short: it is on a page whole, however long it is. */
const mostMeasured = 1_000

/**
 * Walks from the newest record to older ones, from change to change: each step is one look into an index past the
 * records of the changes that were met, however many changes there are. A change of which a record fits that is newer
 * than the page was on a page before. The walk ends once the values of what it shows are long enough for a page.
 *
 * The statement has the conditions that are asked for and no others: one that is true of everything without its
 * parameter keeps a generic plan from any index. `OFFSET 0` has the records of a change found by the index of changes.
 */
const selectChanges = ({ actor, before, from, key, limit, namespace, to }: CheckedQuery) => {
  const parameters: Array<unknown> = []
  const as = (parameter: unknown) => `$${parameters.push(parameter)}`
  const conditions = [
    namespace === undefined ? undefined : `h.namespace = ${as(namespace)}`,
    key === undefined ? undefined : `h.key = ${as(key)}`,
    actor === undefined ? undefined : `h.changed_by = ${as(actor)}`,
    from === undefined ? undefined : `${shownAt("h")} >= ${moment(as(from))}`,
    to === undefined ? undefined : `${shownAt("h")} < ${moment(as(to))}`
  ].filter((condition) => condition !== undefined)
  const fits = ["true", ...conditions].join(" AND ")
  const place = before === undefined ? undefined : as(before)
  const shownBefore = `SELECT FROM (
      SELECT h.id FROM systemplane_history AS h WHERE ${isChange("h", "n.change_id")} AND ${fits} OFFSET 0
    ) AS h WHERE h.id >= ${place}`
  const records = `
    SELECT h.* FROM systemplane_history AS h WHERE ${isChange("h", "n.change_id")}
    UNION ALL
    SELECT h.* FROM systemplane_history AS h WHERE n.change_id IS NULL AND h.id = n.id
    OFFSET 0`
  /** A step `n` with whether it is on this page, and how long its values are if it is. */
  const judged = (step: string) => `(
      SELECT n.id, n.change_id, f.fresh,
        CASE WHEN f.fresh THEN (SELECT coalesce(pg_catalog.sum(${bytes}), 0) FROM (${records} LIMIT ${mostMeasured}) AS h) ELSE 0 END AS bytes
      FROM (${step}) AS n,
        LATERAL (SELECT ${place === undefined ? "true" : `n.change_id IS NULL OR NOT EXISTS (${shownBefore})`} AS fresh OFFSET 0) AS f
    ) AS n`
  const sql = `
  WITH RECURSIVE walked AS (
    SELECT n.id, n.change_id, pg_catalog.array_remove(ARRAY[n.change_id], NULL) AS met, n.fresh, n.bytes
    FROM ${judged(`
        SELECT h.id, h.change_id FROM systemplane_history AS h
        WHERE ${place === undefined ? "" : `h.id < ${place} AND `}${fits}
        ORDER BY h.id DESC LIMIT 1`)}
    UNION ALL
    SELECT n.id, n.change_id, pg_catalog.array_remove(pg_catalog.array_append(w.met, n.change_id), NULL), n.fresh, w.bytes + n.bytes
    FROM walked AS w, LATERAL ${judged(`
        SELECT h.id, h.change_id FROM systemplane_history AS h
        WHERE h.id < w.id AND (h.change_id IS NULL OR h.change_id <> ALL (w.met)) AND ${fits}
        ORDER BY h.id DESC LIMIT 1`)}
    WHERE w.bytes <= ${pageBytes}
  ), newest AS (
    SELECT w.id, w.change_id, w.bytes FROM walked AS w WHERE w.fresh LIMIT ${as(limit)}
  )
  SELECT n.id::float8 AS position, n.bytes > ${pageBytes} AS full, ${columns}
  FROM newest AS n, LATERAL (${records}) AS h
  ORDER BY n.id DESC, h.id`
  return { sql, parameters }
}

const Position = Schema.Array(Schema.Struct({ position: Schema.Number, full: Schema.Boolean }))

export const changes = (asked: CheckedQuery) => {
  const { parameters, sql } = selectChanges(asked)
  return (query: Query) =>
    query(sql, parameters).pipe(
      Effect.flatMap((rows) =>
        Effect.zipWith(
          Schema.decodeUnknownEffect(Position)(rows),
          decode(rows),
          (positions, records): ReadonlyArray<ListedChange> => {
            const found = new Map<number, { readonly full: boolean; readonly records: Array<ChangeRecord> }>()
            for (const [i, { full, position }] of positions.entries()) {
              const known = found.get(position) ?? { full, records: [] }
              found.set(position, known)
              known.records.push(records[i]!)
            }
            return [...found].map(([position, listed]) => ({ position, ...listed }))
          }
        )
      ),
      unexpectedShape
    )
}

/**
 * Pages of whole changes, newest first.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { isChange } from "../../../schema/DdlHistory.ts"
import type { ChangeRecord, CheckedQuery } from "../../../schema/operator/ChangeRecord.ts"
import type { Query } from "../../../services/Connector.ts"
import type { ListedChange } from "../../../services/HistoryStore.ts"
import { unexpectedShape } from "../PgRows.ts"
import { columns, decode, moment, shownAt } from "./PgRecords.ts"

/**
 * Walks from the newest record to older ones, from change to change: each step is one look into an index past the
 * records of the changes that were met, however many changes there are. A change of which a record fits that is newer
 * than the page was on a page before.
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
      SELECT h.id FROM systemplane_history AS h WHERE ${isChange("h", "w.change_id")} AND ${fits} OFFSET 0
    ) AS h WHERE h.id >= ${place}`
  const sql = `
  WITH RECURSIVE walked AS (
    (
      SELECT h.id, h.change_id, array_remove(ARRAY[h.change_id], NULL) AS met FROM systemplane_history AS h
      WHERE ${place === undefined ? "" : `h.id < ${place} AND `}${fits}
      ORDER BY h.id DESC LIMIT 1
    )
    UNION ALL
    SELECT n.id, n.change_id, array_remove(w.met || n.change_id, NULL)
    FROM walked AS w, LATERAL (
      SELECT h.id, h.change_id FROM systemplane_history AS h
      WHERE h.id < w.id AND (h.change_id IS NULL OR h.change_id <> ALL (w.met)) AND ${fits}
      ORDER BY h.id DESC LIMIT 1
    ) AS n
  ), newest AS (
    SELECT w.id, w.change_id FROM walked AS w
    ${place === undefined ? "" : `WHERE w.change_id IS NULL OR NOT EXISTS (${shownBefore})`}
    LIMIT ${as(limit)}
  )
  SELECT n.id::float8 AS position, ${columns}
  FROM newest AS n, LATERAL (
    SELECT h.* FROM systemplane_history AS h WHERE ${isChange("h", "n.change_id")}
    UNION ALL
    SELECT h.* FROM systemplane_history AS h WHERE n.change_id IS NULL AND h.id = n.id
    OFFSET 0
  ) AS h
  ORDER BY n.id DESC, h.id`
  return { sql, parameters }
}

const Position = Schema.Array(Schema.Struct({ position: Schema.Number }))

export const changes = (asked: CheckedQuery) => {
  const { parameters, sql } = selectChanges(asked)
  return (query: Query) =>
    query(sql, parameters).pipe(
      Effect.flatMap((rows) =>
        Effect.zipWith(
          Schema.decodeUnknownEffect(Position)(rows),
          decode(rows),
          (positions, records): ReadonlyArray<ListedChange> => {
            const found = new Map<number, Array<ChangeRecord>>()
            for (const [i, { position }] of positions.entries()) {
              const known = found.get(position) ?? []
              found.set(position, known)
              known.push(records[i]!)
            }
            return [...found].map(([position, records]) => ({ position, records }))
          }
        )
      ),
      unexpectedShape
    )
}

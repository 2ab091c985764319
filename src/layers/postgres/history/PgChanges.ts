/**
 * Pages of whole changes, newest first.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ChangeRecord, CheckedQuery } from "../../../schema/operator/ChangeRecord.ts"
import type { Query } from "../../../services/Connector.ts"
import type { ListedChange } from "../../../services/HistoryStore.ts"
import { unexpectedShape } from "../PgRows.ts"
import { columns, decode, moment, shownAt } from "./PgRecords.ts"

/**
 * Walks from the newest record to older ones, from change to change: each step is one look into an index, however many
 * changes there are. A change that is met again further down, since another one was made meanwhile, is left out there.
 * `OFFSET 0` has its records found by the index of changes.
 *
 * The statement has the conditions that are asked for and no others: one that is true of everything without its
 * parameter keeps a generic plan from any index.
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
  const sql = `
  WITH RECURSIVE walked AS (
    (
      SELECT h.id, h.change_id FROM systemplane_history AS h
      WHERE ${before === undefined ? "" : `h.id < ${as(before)} AND `}${fits}
      ORDER BY h.id DESC LIMIT 1
    )
    UNION ALL
    SELECT n.id, n.change_id
    FROM walked AS w, LATERAL (
      SELECT h.id, h.change_id FROM systemplane_history AS h
      WHERE h.id < w.id AND (h.change_id IS NULL OR h.change_id IS DISTINCT FROM w.change_id) AND ${fits}
      ORDER BY h.id DESC LIMIT 1
    ) AS n
  ), newest AS (
    SELECT w.id, w.change_id FROM walked AS w
    WHERE w.change_id IS NULL OR w.id = (
      SELECT max(o.id) FROM (
        SELECT h.id FROM systemplane_history AS h WHERE h.change_id = w.change_id AND ${fits} OFFSET 0
      ) AS o
    )
    LIMIT ${as(limit)}
  )
  SELECT n.id::float8 AS position, ${columns}
  FROM newest AS n, LATERAL (
    SELECT h.* FROM systemplane_history AS h WHERE h.change_id = n.change_id
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

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

const fits = (alias: string) => `
  ($1::text IS NULL OR ${alias}.namespace = $1) AND ($2::text IS NULL OR ${alias}.key = $2)
  AND ($3::text IS NULL OR ${alias}.changed_by = $3)
  AND ($4::float8 IS NULL OR ${shownAt(alias)} >= ${moment("$4")})
  AND ($5::float8 IS NULL OR ${shownAt(alias)} < ${moment("$5")})`

const isSameChange = (a: string, b: string) => `${a}.change_id IS NOT DISTINCT FROM ${b}.change_id`

/**
 * Walks from the newest record to older ones, from change to change: each step is one look into an index, however many
 * changes there are. A change that is met again further down, since another one was made meanwhile, is left out there.
 */
const selectChanges = `
  WITH RECURSIVE walked AS (
    (
      SELECT h.id, h.change_id FROM systemplane_history AS h
      WHERE ($6::int8 IS NULL OR h.id < $6) AND ${fits("h")}
      ORDER BY h.id DESC LIMIT 1
    )
    UNION ALL
    SELECT n.id, n.change_id
    FROM walked AS w, LATERAL (
      SELECT h.id, h.change_id FROM systemplane_history AS h
      WHERE h.id < w.id AND (h.change_id IS NULL OR h.change_id IS DISTINCT FROM w.change_id) AND ${fits("h")}
      ORDER BY h.id DESC LIMIT 1
    ) AS n
  ), newest AS (
    SELECT w.id, w.change_id FROM walked AS w
    WHERE w.change_id IS NULL OR NOT EXISTS (
      SELECT FROM systemplane_history AS h WHERE ${isSameChange("h", "w")} AND h.id > w.id AND ${fits("h")}
    )
    LIMIT $7
  )
  SELECT n.id::float8 AS position, ${columns}
  FROM newest AS n, LATERAL (
    SELECT h.* FROM systemplane_history AS h WHERE h.change_id = n.change_id
    UNION ALL
    SELECT h.* FROM systemplane_history AS h WHERE n.change_id IS NULL AND h.id = n.id
  ) AS h
  ORDER BY n.id DESC, h.id`

const Position = Schema.Array(Schema.Struct({ position: Schema.Number }))

export const changes =
  ({ actor, before, from, key, limit, namespace, to }: CheckedQuery) =>
  (query: Query) =>
    query(
      selectChanges,
      [namespace, key, actor, from, to, before, limit].map((parameter) => parameter ?? null)
    ).pipe(
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

/**
 * What was recorded since a cursor.
 *
 * A cursor is the snapshot of the very statement that read up to it, together with what tells whether the snapshot
 * still means anything: the system, its timeline, the database, and the newest record. Transactions that the snapshot
 * did not see, and records above the newest one, are what was recorded since. So a transaction that commits late is
 * found, as is one that has a number which the server gave before a crash.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { Query } from "../../../services/Connector.ts"
import type { HistoryDelta } from "../../../services/HistoryStore.ts"
import { unexpectedShape } from "../PgRows.ts"
import { columns, decode } from "./PgRecords.ts"

/** Whether the server takes a text for a snapshot: `xmin:xmax:` and what was in progress between them, in order. */
const isSnapshot = (text: string): boolean => {
  const [, xmin, xmax, running] = /^(\d{1,19}):(\d{1,19}):((?:\d{1,19}(?:,(?=\d)|$))*)$/.exec(text) ?? []
  if (xmin === undefined || xmax === undefined) return false
  const [first, ...others] = [xmin, ...(running === "" ? [] : running!.split(","))].map(BigInt)
  const order = [first!, ...others, BigInt(xmax)]
  return (
    isNumber(first!) &&
    isNumber(order.at(-1)!) &&
    order.every((id, i) => i === 0 || order[i - 1]! <= id) &&
    others.at(-1) !== order.at(-1)
  )
}

/** The number of a transaction is an epoch and 32 bits, which are never 0. */
const isNumber = (id: bigint): boolean => BigInt.asUintN(32, id) > 0n

const matching = (pattern: RegExp) => Schema.String.check(Schema.isPattern(pattern))

// A cursor goes through the hands of clients: what the server would refuse is no cursor.
const Cursor = Schema.fromJsonString(
  Schema.Struct({
    system: matching(/^-?\d{1,20}$/),
    /** Empty on a standby. */
    timeline: matching(/^(?:[\dA-F]{8})?$/),
    database: matching(/^\d{1,10}$/),
    /** The newest record, and its change. */
    id: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
    change: Schema.NullOr(matching(/^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/)),
    snapshot: Schema.String.check(Schema.makeFilter(isSnapshot))
  })
)
const decodeCursor = Schema.decodeUnknownOption(Schema.StringFromBase64Url.pipe(Schema.decodeTo(Cursor)))
const encodeCursor = Schema.encodeSync(Schema.StringFromBase64Url.pipe(Schema.decodeTo(Cursor)))

// Both bounds of the ids, of one transaction too, LATERAL and OFFSET are for the planner: it takes one bound alone for
// a third of the table, and would rather read all of it once than a record for each id.
const selectSince = `
  WITH place AS MATERIALIZED (
    SELECT pg_current_snapshot() AS snapshot, (SELECT c.system_identifier FROM pg_control_system() AS c)::text AS system,
      CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
      (SELECT d.oid::text FROM pg_database AS d WHERE d.datname = current_database()) AS database,
      coalesce(n.id, 0) AS newest, n.change_id AS change
    FROM (SELECT) AS one
    LEFT JOIN (SELECT h.id, h.change_id FROM systemplane_history AS h ORDER BY h.id DESC LIMIT 1) AS n ON true
  ), judged AS MATERIALIZED (
    SELECT p.*, $1::text IS NOT NULL AND p.timeline <> '' AND p.system = $1 AND p.timeline = $2 AND p.database = $3
      AND ($4::int8 = 0 OR EXISTS (
        SELECT FROM systemplane_history AS h WHERE h.id = $4 AND h.change_id IS NOT DISTINCT FROM $5::uuid
      ))
      AND pg_catalog.pg_snapshot_xmax($6::pg_snapshot) <= pg_catalog.pg_snapshot_xmax(p.snapshot) AS valid
    FROM place AS p
  )
  SELECT j.snapshot::text AS snapshot, j.system, j.timeline, j.database, j.newest::float8 AS newest, j.change::text AS change,
    j.valid, ${columns}
  FROM judged AS j
  LEFT JOIN LATERAL (
    SELECT h.* FROM (
      SELECT h.id FROM systemplane_history AS h
      WHERE j.valid AND h.transaction_id >= pg_catalog.pg_snapshot_xmax($6::pg_snapshot)
        AND h.transaction_id < pg_catalog.pg_snapshot_xmax(j.snapshot)
      UNION
      SELECT h.id FROM pg_catalog.pg_snapshot_xip($6::pg_snapshot) AS x (id), LATERAL (
        SELECT h.id FROM systemplane_history AS h WHERE h.transaction_id >= x.id AND h.transaction_id <= x.id OFFSET 0
      ) AS h
      WHERE j.valid
      UNION
      SELECT h.id FROM systemplane_history AS h WHERE j.valid AND h.id > $4 AND h.id <= j.newest
    ) AS found, LATERAL (SELECT h.* FROM systemplane_history AS h WHERE h.id = found.id OFFSET 0) AS h
  ) AS h ON true
  ORDER BY h.id`

const Place = Schema.Struct({
  snapshot: Schema.String,
  system: Schema.String,
  timeline: Schema.String,
  database: Schema.String,
  newest: Schema.Number,
  change: Schema.NullOr(Schema.String),
  valid: Schema.NullOr(Schema.Boolean)
})

/** Without a cursor on a standby, whose snapshot does not name the transactions that are in progress. */
export interface Read extends HistoryDelta {
  readonly recovery: boolean
}

export const since =
  (token: string | undefined) =>
  (query: Query): Effect.Effect<Read, SqlError> => {
    const known = token === undefined ? undefined : decodeCursor(token)
    const cursor = known?._tag === "Some" ? known.value : undefined
    const parameters =
      cursor === undefined
        ? [null, null, null, null, null, null]
        : [cursor.system, cursor.timeline, cursor.database, BigInt(cursor.id), cursor.change, cursor.snapshot]
    return query(selectSince, parameters).pipe(
      Effect.flatMap((rows) =>
        Effect.zipWith(
          Schema.decodeUnknownEffect(Place)(rows[0]),
          decode(rows.filter((row: any) => row?.id !== null)),
          ({ newest, valid, ...place }, records) => ({
            cursor: encodeCursor({ ...place, id: newest }),
            reset: valid !== true,
            records,
            recovery: place.timeline === ""
          })
        )
      ),
      unexpectedShape
    )
  }

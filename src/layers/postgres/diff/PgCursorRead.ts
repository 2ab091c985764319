/**
 * The two statements of a cursor, which is the snapshot that PostgreSQL gave a statement: all rows together with that
 * snapshot, and what was recorded in the history by transactions which it did not see.
 *
 * Both say on which server they ran and which snapshot they had, so that the next one goes on from there. What follows
 * from their answers is decided elsewhere: PgCursorDiff keeps what was seen, and PgDiff says when all rows are read.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as PgRows from "../PgRows.ts"
import type * as PgDigestDiff from "./PgDigestDiff.ts"
import * as PgNamespaceScan from "./PgNamespaceScan.ts"

/** More changed keys than this are read as a whole. */
export const mostKeys = 1_000

const place = `pg_current_snapshot()::text AS cursor, pg_is_in_recovery() AS recovery,
    (pg_catalog.date_part('epoch', pg_postmaster_start_time()) * 1000000::float8)::int8::text AS started`

const historyBytes = "pg_catalog.pg_total_relation_size(pg_catalog.to_regclass('systemplane_history'))::float8"

/** Whether there is a history of ours beside the table, and this role may read it. */
const hasHistory = `EXISTS (
      SELECT FROM pg_class AS t
      JOIN pg_class AS c ON c.relnamespace = t.relnamespace AND c.relname = 'systemplane_history'
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'transaction_id' AND NOT a.attisdropped
      WHERE t.oid = pg_catalog.to_regclass('systemplane_entries')::oid AND c.oid = pg_catalog.to_regclass('systemplane_history')::oid
        AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
    )`

/**
 * All rows, and one without a name whose value says where the history is: a column of its own would have to be decoded
 * in all other rows as well. Without `OFFSET` the planner makes no hash table of the keys. It takes an array that it
 * cannot look into for a short one, and finds the namespaces by the index.
 */
const whole = (isWanted: string) => `
  SELECT NULL::text AS namespace, NULL::text AS key,
    pg_catalog.json_build_object('cursor', p.cursor, 'recovery', p.recovery, 'started', p.started,
      'history', ${hasHistory}, 'millis', (pg_catalog.date_part('epoch', clock_timestamp()) * 1000::float8)::int8,
      'bytes', (${historyBytes})::int8)::text AS value,
    NULL::float8 AS revision, NULL::float8 AS seconds, NULL::text AS "updatedBy", NULL::int8 AS fingerprint
  FROM (SELECT ${place}) AS p
  UNION ALL (
  SELECT e.namespace, e.key, ${PgRows.columnsIf(isWanted)}
  FROM systemplane_entries AS e
  WHERE e.namespace = ANY (ARRAY(SELECT pg_catalog.unnest($1::text[]))) AND ${PgRows.isStored}
  LIMIT $2 OFFSET 0)`

/**
 * It is streamed, and a stream is never prepared. Exported, as its neighbours, so that tests recognise it.
 */
export const selectWhole = whole(PgRows.isOneOfThese("$3"))

/** The same for a session that takes all rows at once, and may prepare what it is asked often. */
export const selectWholeAtOnce = whole(PgRows.isOneOf("$3"))

// The records also name keys that were not declared: values are fetched only for the names that are wanted.
//
// The parameters come from a subquery, where the planner does not see them. A plan for these then promises no less than
// one for any others, and the server keeps it: to make one for each read takes it longer than to run it.
//
// What was recorded is found by its transactions alone, however long the history is: OFFSET keeps the planner from
// reading the records of all namespaces instead. Both bounds of the ids, of one transaction too, and LIMIT are for the
// planner as well: it takes one bound for a third of the table, and LIMIT keeps the cost that it guesses below that of
// compiling the plan.
export const selectSince = `
  SELECT s.cursor, s.recovery, s.started, s.bytes, s.digest, k.namespace, k.key, e.*
  FROM (
    SELECT $1::pg_snapshot AS cursor, $2::text[] AS followed, $3::text[] AS namespaces, $4::text[] AS keys, $5::bool AS verifies
    OFFSET 0
  ) AS sent
  CROSS JOIN LATERAL (
    SELECT ${place},
      CASE WHEN sent.verifies THEN ${historyBytes} END AS bytes,
      CASE WHEN sent.verifies THEN (
        SELECT pg_catalog.bit_xor(v.fingerprint) FROM (
          SELECT ${PgRows.fingerprint} AS fingerprint FROM systemplane_entries AS e
          WHERE e.namespace = ANY (sent.followed) AND ${PgRows.isStored} LIMIT $6
        ) AS v
      ) END AS digest
  ) AS s
  LEFT JOIN LATERAL (
    SELECT h.namespace, h.key FROM (
      SELECT h.namespace, h.key FROM systemplane_history AS h
      WHERE h.transaction_id >= pg_catalog.pg_snapshot_xmax(sent.cursor)
        AND h.transaction_id < pg_catalog.pg_snapshot_xmax(pg_current_snapshot())
      UNION ALL
      SELECT h.namespace, h.key FROM pg_catalog.pg_snapshot_xip(sent.cursor) AS x (id), LATERAL (
        SELECT h.namespace, h.key FROM systemplane_history AS h
        WHERE h.transaction_id >= x.id AND h.transaction_id <= x.id OFFSET 0
      ) AS h
      OFFSET 0
    ) AS h
    WHERE h.namespace IN (SELECT pg_catalog.unnest(sent.followed))
    UNION
    SELECT n.namespace, n.key FROM unnest(sent.namespaces, sent.keys) AS n (namespace, key)
    LIMIT ${mostKeys + 1}
  ) AS k ON true
  LEFT JOIN LATERAL (
    SELECT ${PgRows.columnsIf(PgRows.isOneOf("$7"))}, ${PgRows.age} AS age
    FROM systemplane_entries AS e
    WHERE e.namespace = k.namespace AND e.key = k.key AND ${PgRows.isStored} LIMIT 1
  ) AS e ON true`

/** Where a cursor is. */
const Place = Schema.Struct({
  cursor: Schema.String.check(Schema.isPattern(/^\d+:\d+:[\d,]*$/)),
  recovery: Schema.Boolean,
  /** When the server started. */
  started: Schema.String,
  digest: Schema.optional(Schema.NullOr(Schema.BigInt)),
  bytes: Schema.NullOr(Schema.Number)
})
export type Place = typeof Place.Type

/** Where the cursor is after a read of what changed: in each of its rows. */
export const placeOf = Schema.decodeUnknownResult(Place)

/** The value of the row that says where the history is. */
const WholePlace = Schema.fromJsonString(
  Schema.Struct({
    ...Place.fields,
    /** Whether the database has a history. */
    history: Schema.Boolean,
    /** The time, by the database's clock. */
    millis: Schema.Number
  })
)
const decodeWholePlace = Schema.decodeUnknownResult(WholePlace)

/** Whether a cursor may follow another: the same server, not a standby, and no transaction id went back. */
export const isLater = (place: Place, before: Place): boolean =>
  !place.recovery && place.started === before.started && xmaxOf(place.cursor) >= xmaxOf(before.cursor)

const xmaxOf = (cursor: string): bigint => BigInt(cursor.split(":")[1]!)

/** What a read of all rows saw beside the rows that the caller asked for. */
export interface Scanned {
  readonly place: Place
  /** Whether the database has a history. */
  readonly history: boolean
  /**
   * The fingerprints of the rows in the same namespaces that were not declared, by name; `undefined` if there are too
   * many to look at them all.
   */
  readonly others: Map<string, bigint> | undefined
}

/**
 * Reads all rows. `streams`: whether rows are handed over as they arrive. `onScanned` runs with what was seen beside
 * them, unless the server did not say where the cursor is.
 */
export const scan =
  (streams: boolean, onScanned: (scanned: Scanned) => void): PgDigestDiff.Scan =>
  (queryEach, keys, { aged }) =>
    Effect.suspend(() => {
      const limit = PgNamespaceScan.most(keys) + 1
      const { decoded, take } = PgNamespaceScan.decoder(keys)
      let place: unknown
      let found = 0
      const each = (rows: ReadonlyArray<any>) => {
        const at = place === undefined ? rows.findIndex((columns) => columns?.namespace === null) : -1
        if (at >= 0) place = rows[at].value
        const present = at >= 0 ? rows.toSpliced(at, 1) : rows
        found += present.length
        take(present)
      }
      return queryEach(
        streams ? selectWhole : selectWholeAtOnce,
        [PgNamespaceScan.namespacesOf(keys), limit, PgRows.pathsOf(keys)],
        each
      ).pipe(
        Effect.flatMap(() => decoded),
        Effect.map((rows) => {
          const decoded = decodeWholePlace(place)
          const whole = Result.isSuccess(decoded) ? decoded.success : undefined
          if (whole !== undefined) {
            const { history, millis, ...place } = whole
            onScanned({ place, history, others: found < limit ? othersOf(rows) : undefined })
          }
          if (found >= limit) return Option.none()
          return Option.some(
            aged && whole !== undefined
              ? rows.map((named) => ({ ...named, age: (whole.millis - named.row.updatedAt) / 1000 }))
              : rows
          )
        }),
        PgRows.unexpectedShape
      )
    })

const othersOf = (rows: ReadonlyArray<PgNamespaceScan.NamedRow>) => {
  const others = new Map<string, bigint>()
  for (const { name, row, slot } of rows) {
    if (slot === undefined) others.set(PgNamespaceScan.nameOf(name), row.fingerprint)
  }
  return others
}

/**
 * The history of tenants in PostgreSQL: statements about `systemplane_history`, each of them one round trip.
 *
 * A cursor is the snapshot of the very statement that read up to it, together with what tells whether the snapshot
 * still means anything: the system, its timeline, the database, and the newest record. Transactions that the snapshot
 * did not see, and records above the newest one, are what was recorded since. So a transaction that commits late is
 * found, and one that begins after a crash under a number that was used before.
 */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import { type EntryStoreError, saysObjectsMissing } from "../../schema/EntryStoreError.ts"
import { pastEntry } from "../../schema/MemoryHistory.ts"
import { HistoryMissing } from "../../schema/operator/ChangeHistoryError.ts"
import type { ChangeRecord, CheckedQuery } from "../../schema/operator/ChangeRecord.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import {
  type HistoryDelta,
  HistoryStore,
  type HistoryStoreError,
  type ListedChange,
  type PastRequest,
  type PastRow,
  type Retention
} from "../../services/HistoryStore.ts"
import { verifyLock } from "../runtime/Timeouts.ts"
import { PgDatabases } from "./PgDatabases.ts"
import { arrayOf, columnsWith, decodeRows, inRange, isStored, unexpectedShape } from "./PgRows.ts"

const make = Effect.map(PgDatabases, (databases) => {
  const run = <A>(
    tenant: TenantId,
    statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>
  ): Effect.Effect<A, HistoryStoreError> => Effect.mapError(databases.run(tenant, statement), missing(tenant))

  return HistoryStore.of({
    changes: (tenant, query) => run(tenant, changes(query)),
    ofKey: (tenant, { key, namespace }, { before, limit }) =>
      run(tenant, (query) => recordsOf(query(selectOfKey, [namespace, key, before ?? null, limit]))),
    ofRevision: (tenant, { key, namespace }, revision) =>
      run(tenant, (query) =>
        Effect.map(recordsOf(query(selectOfRevision, [namespace, key, BigInt(revision)])), ([record]) => record)
      ),
    recall: (tenant, keys, limit) => run(tenant, recall(keys, limit)),
    ofChange: (tenant, changeId) => run(tenant, (query) => recordsOf(query(selectOfChange, [changeId]))),
    at: (tenant, moment) =>
      run(tenant, (query) => Effect.map(recordsOf(query(selectAt, [moment])), (records) => records.map(pastEntry))),
    since: (tenant, cursor) => Effect.flatMap(run(tenant, since(cursor)), onPrimary(tenant)),
    verify: verifying(databases),
    purge: (tenant, retention) => Effect.mapError(databases.run(tenant, purge(retention)), missing(tenant))
  })
})

// A layer of its own for each plane: one value would be built once, and two planes in one program would share it.
export const layer = () => Layer.effect(HistoryStore, make)

/** How often a verification that finds writers at work all the time is tried again. */
export interface VerifyPatience {
  readonly pause: Duration.Input
  readonly times: number
}

/** `HistoryStore.verify`. A role that may only read reports the gap, and closes nothing. */
export const verifying =
  (databases: PgDatabases["Service"], { pause, times }: VerifyPatience = verifyLock.asked) =>
  (tenant: TenantId): Effect.Effect<number, HistoryStoreError> =>
    databases.runInTransaction(tenant, verify).pipe(
      Effect.retry({ while: isLocked, schedule: Schedule.spaced(pause), times }),
      Effect.catchIf(mayOnlyRead, () => databases.run(tenant, (query) => counted(query(countUnrecorded)))),
      Effect.mapError(missing(tenant))
    )

/** Whether a verification found writers at work all the time. */
const isLocked = (error: HistoryStoreError): boolean =>
  error._tag === "EntryStoreError" && error.reason._tag === "Refused" && error.reason.code === "55P03"

const mayOnlyRead = ({ reason }: EntryStoreError) =>
  reason._tag === "Refused" && (reason.code === "42501" || reason.code === "25006")

/** What a server says that has no history of ours, or does not show it to this role. */
const missing =
  (tenant: TenantId) =>
  (error: EntryStoreError): HistoryStoreError => {
    const code = error.reason._tag === "Refused" ? error.reason.code : undefined
    if (saysObjectsMissing(error.reason)) {
      return new HistoryMissing({
        tenant,
        problem: `its tables are missing or outdated (${code}); run Ddl.sql on its database`
      })
    }
    return code === "42501"
      ? new HistoryMissing({
          tenant,
          problem:
            "the role lacks a privilege (42501); run Ddl.grants(role) on its database, with { purge: true } to purge"
        })
      : error
  }

const columns = `
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

const recordsOf = (rows: Effect.Effect<ReadonlyArray<unknown>, SqlError>) =>
  rows.pipe(
    Effect.flatMap(decodeColumns),
    Effect.map((rows) => rows.map(recordOf)),
    unexpectedShape
  )

const selectOfKey = `
  SELECT ${columns} FROM systemplane_history AS h
  WHERE h.namespace = $1 AND h.key = $2 AND ($3::int8 IS NULL OR h.id < $3)
  ORDER BY h.id DESC LIMIT $4`

const selectOfRevision = `
  SELECT ${columns} FROM systemplane_history AS h
  WHERE h.namespace = $1 AND h.key = $2 AND h.revision = $3 AND h.operation <> 'delete'
  ORDER BY h.id DESC LIMIT 1`

/** More than this of the records of one key travels only if one record alone is longer. */
const recalledBytes = 65_536

/** Exported so that tests recognise it. */
export const selectPast = `
  SELECT a.place::float8 AS place, e.id::float8 AS id, e.deleted, e.kept, ${columnsWith("0::int8")}
  FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) WITH ORDINALITY AS a (namespace, key, revision, before, place)
  CROSS JOIN LATERAL (
    SELECT n.id, n.revision, n.value, n.changed_at AS updated_at, n.changed_by AS updated_by, n.operation = 'delete' AS deleted,
      n.value IS NOT NULL AND n.redacted IS NOT TRUE AS kept,
      sum(pg_catalog.pg_column_size(n.value)) OVER (ORDER BY n.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
      SELECT h.* FROM systemplane_history AS h
      WHERE h.namespace = a.namespace AND h.key = a.key AND h.revision <= a.revision AND (a.before IS NULL OR h.id < a.before)
      ORDER BY h.id DESC LIMIT $5
    ) AS n
  ) AS e
  WHERE coalesce(e.before, 0) < ${recalledBytes}
  ORDER BY a.place, e.id DESC`

const Past = Schema.Array(
  Schema.Struct({ place: Schema.Number, id: Schema.Number, deleted: Schema.Boolean, kept: Schema.Boolean })
)

const recall = (keys: ReadonlyArray<PastRequest>, limit: number) => (query: Query) =>
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
  SELECT ${columns} FROM systemplane_history AS h WHERE h.change_id = $1::uuid ORDER BY h.id`

/** Records hold microseconds and readers milliseconds: the moment that a reader was shown includes the record. */
const shownAt = (alias: string) => `date_trunc('milliseconds', ${alias}.changed_at)`
const moment = (parameter: string) => `to_timestamp(${parameter}::float8 / 1000)`

const selectAt = `
  SELECT ${columns} FROM (
    SELECT DISTINCT ON (n.namespace, n.key) n.* FROM systemplane_history AS n
    WHERE ${shownAt("n")} <= ${moment("$1")}
    ORDER BY n.namespace, n.key, n.id DESC
  ) AS h
  WHERE h.operation <> 'delete'
  ORDER BY h.namespace COLLATE "C", h.key COLLATE "C"`

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

const changes =
  ({ actor, before, from, key, limit, namespace, to }: CheckedQuery) =>
  (query: Query) =>
    query(
      selectChanges,
      [namespace, key, actor, from, to, before, limit].map((parameter) => parameter ?? null)
    ).pipe(
      Effect.flatMap((rows) =>
        Effect.zipWith(
          Schema.decodeUnknownEffect(Position)(rows),
          Effect.map(decodeColumns(rows), (rows) => rows.map(recordOf)),
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

const Cursor = Schema.fromJsonString(
  Schema.Struct({
    system: Schema.String,
    timeline: Schema.String,
    database: Schema.String,
    /** The newest record, and its change. */
    id: Schema.Number,
    change: Schema.NullOr(Schema.String),
    snapshot: Schema.String.check(Schema.isPattern(/^\d+:\d+:[\d,]*$/))
  })
)
const decodeCursor = Schema.decodeUnknownOption(Schema.StringFromBase64Url.pipe(Schema.decodeTo(Cursor)))
const encodeCursor = Schema.encodeSync(Schema.StringFromBase64Url.pipe(Schema.decodeTo(Cursor)))

const selectSince = `
  WITH place AS MATERIALIZED (
    SELECT pg_current_snapshot() AS snapshot, (SELECT c.system_identifier FROM pg_control_system() AS c)::text AS system,
      CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
      (SELECT d.oid::text FROM pg_database AS d WHERE d.datname = current_database()) AS database,
      coalesce(n.id, 0) AS newest, n.change_id AS change
    FROM (SELECT) AS one
    LEFT JOIN (SELECT h.id, h.change_id FROM systemplane_history AS h ORDER BY h.id DESC LIMIT 1) AS n ON true
  ), judged AS MATERIALIZED (
    SELECT p.*, $1::text IS NOT NULL AND p.timeline <> '' AND p.system = $1 AND p.timeline = $2 AND p.database = $3
      AND ($4::int8 = 0 OR EXISTS (
        SELECT FROM systemplane_history AS h WHERE h.id = $4 AND h.change_id IS NOT DISTINCT FROM $5::uuid
      ))
      AND pg_snapshot_xmax($6::pg_snapshot) <= pg_snapshot_xmax(p.snapshot) AS valid
    FROM place AS p
  )
  SELECT j.snapshot::text AS snapshot, j.system, j.timeline, j.database, j.newest::float8 AS newest, j.change::text AS change,
    j.valid, ${columns}
  FROM judged AS j
  LEFT JOIN (
    SELECT h.id FROM systemplane_history AS h, judged AS j
    WHERE j.valid AND h.transaction_id >= pg_snapshot_xmax($6::pg_snapshot)
      AND h.transaction_id < pg_snapshot_xmax(j.snapshot)
    UNION
    SELECT h.id FROM systemplane_history AS h, judged AS j
    WHERE j.valid AND h.transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip($6::pg_snapshot)))
    UNION
    SELECT h.id FROM systemplane_history AS h, judged AS j WHERE j.valid AND h.id > $4
  ) AS found ON true
  LEFT JOIN systemplane_history AS h ON h.id = found.id
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
interface Read extends HistoryDelta {
  readonly recovery: boolean
}

const since =
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
          decodeColumns(rows.filter((row: any) => row?.id !== null)),
          ({ newest, valid, ...place }, rows) => ({
            cursor: encodeCursor({ ...place, id: newest }),
            reset: valid !== true,
            records: rows.map(recordOf),
            recovery: place.timeline === ""
          })
        )
      ),
      unexpectedShape
    )
  }

const onPrimary =
  (tenant: TenantId) =>
  ({ recovery, ...delta }: Read): Effect.Effect<HistoryDelta, HistoryMissing> =>
    recovery
      ? Effect.fail(
          new HistoryMissing({
            tenant,
            problem: "its server is a standby, which cannot tell what is committed later; connect to the primary"
          })
        )
      : Effect.succeed(delta)

const Count = Schema.NonEmptyArray(Schema.Struct({ count: Schema.Number }))
const decodeCount = Schema.decodeUnknownEffect(Count)

const counted = (rows: Effect.Effect<ReadonlyArray<unknown>, SqlError>): Effect.Effect<number, SqlError> =>
  rows.pipe(
    Effect.flatMap(decodeCount),
    Effect.map(([{ count }]) => count),
    unexpectedShape
  )

// The statement touches no row; its trigger, which has the rights of the owner, writes the records. It must not run
// beside a writer. Other writers wait behind this lock, and so it is given up soon.
const verify = (query: Query): Effect.Effect<number, SqlError> =>
  Effect.gen(function* () {
    yield* query(
      `SELECT set_config('systemplane.verify', 'on', true), set_config('lock_timeout', '${verifyLock.timeout}', true)`
    )
    yield* query("LOCK TABLE systemplane_entries IN SHARE ROW EXCLUSIVE MODE")
    yield* query("DELETE FROM systemplane_entries WHERE false")
    return yield* counted(
      query(`SELECT count(*)::float8 AS count FROM systemplane_history AS h
             WHERE h.transaction_id = pg_current_xact_id() AND h.changed_by = 'unrecorded'`)
    )
  })

const countUnrecorded = `
  SELECT count(*)::float8 AS count
  FROM (SELECT e.* FROM systemplane_entries AS e WHERE ${isStored}) AS e
  FULL JOIN (
    SELECT h.* FROM (
      SELECT DISTINCT ON (h.namespace, h.key) h.* FROM systemplane_history AS h ORDER BY h.namespace, h.key, h.id DESC
    ) AS h
    WHERE h.operation <> 'delete'
  ) AS h ON h.namespace = e.namespace AND h.key = e.key
  WHERE e.revision IS DISTINCT FROM h.revision OR h.redacted IS NOT TRUE AND e.value IS DISTINCT FROM h.value`

/** One process at a time: another one that purges does the same. */
const selectPurged = `
  SELECT CASE WHEN pg_try_advisory_xact_lock(hashtext('systemplane_history_purge'))
    THEN systemplane_history_purge($1::int, $2::int) ELSE 0 END::float8 AS count`

const purge =
  ({ keepDays, keepPerKey }: Retention) =>
  (query: Query) =>
    counted(query(selectPurged, [keepDays ?? null, keepPerKey ?? null]))

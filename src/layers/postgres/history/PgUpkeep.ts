/**
 * Closes gaps in the history, counts them, and removes old records.
 *
 * A gap is an entry that differs from the last record of its key: it was changed while the triggers were off. The
 * run-time role may not write records. It fires functions that may: a trigger for the gaps, `systemplane_history_purge`
 * for the retention. A role that may only read counts the gaps.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { KeyName } from "../../../schema/KeyName.ts"
import * as SecretNames from "../../../schema/SecretNames.ts"
import type { Query } from "../../../services/Connector.ts"
import type { Retention } from "../../../services/HistoryStore.ts"
import { verifyLock } from "../../runtime/Timeouts.ts"
import { isStored, unexpectedShape } from "../PgRows.ts"

const Count = Schema.NonEmptyArray(Schema.Struct({ count: Schema.Number }))
const decodeCount = Schema.decodeUnknownEffect(Count)

const counted = (rows: Effect.Effect<ReadonlyArray<unknown>, SqlError>): Effect.Effect<number, SqlError> =>
  rows.pipe(
    Effect.flatMap(decodeCount),
    Effect.map(([{ count }]) => count),
    unexpectedShape
  )

// The statement touches no row; its trigger, which has the rights of the owner, writes the records. It must not run
// beside a writer. Other writers wait behind this lock, so the wait for it has a bound of its own.
export const verify = (query: Query, secrets: ReadonlyArray<KeyName>): Effect.Effect<number, SqlError> =>
  Effect.gen(function* () {
    yield* query(
      `SELECT pg_catalog.set_config('systemplane.verify', 'on', true), pg_catalog.set_config('lock_timeout', '${verifyLock.timeout}', true),
         pg_catalog.set_config('systemplane.secret', $1::text, true)`,
      [SecretNames.encode(secrets)]
    )
    yield* query("LOCK TABLE systemplane_entries IN SHARE ROW EXCLUSIVE MODE")
    yield* query("DELETE FROM systemplane_entries WHERE false")
    return yield* counted(
      query(`SELECT count(*)::float8 AS count FROM systemplane_history AS h
             WHERE h.transaction_id = pg_current_xact_id() AND h.changed_by = 'unrecorded'`)
    )
  })

const selectUnrecorded = `
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
  SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('systemplane_history_purge'))
    THEN systemplane_history_purge($1::int, $2::int) ELSE 0 END::float8 AS count`

export const purge =
  ({ keepDays, keepPerKey }: Retention) =>
  (query: Query) =>
    counted(query(selectPurged, [atMost(keepDays, longestKept), atMost(keepPerKey, largestInteger)]))

/** Beyond these the server has no moment, and no integer; nothing is as old or as often changed. */
const longestKept = 1_000_000
const largestInteger = 2_147_483_647

const atMost = (given: number | undefined, most: number) => (given === undefined ? null : Math.min(given, most))

/** How many gaps `verify` would close. */
export const countUnrecorded = (query: Query) => counted(query(selectUnrecorded))

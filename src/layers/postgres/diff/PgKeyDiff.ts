/**
 * How a table differs from what is known of it, found by the server key by key, in one statement: for a few keys, and
 * for any number of them if their namespaces hold too many rows beside theirs.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { KeyName } from "../../../schema/KeyName.ts"
import type { RowDiff } from "../../../schema/Snapshot.ts"
import type { Query } from "../../../services/Connector.ts"
import * as PgRows from "../PgRows.ts"

/** The columns of a difference beside those of its row, which are all `NULL` if there is none. */
const Place = Schema.Struct({ slot: Schema.Int, age: Schema.NullOr(Schema.Finite) })
const decodePlace = Schema.decodeUnknownResult(Place)

const byShape = (columns: any): RowDiff | undefined => {
  const row = PgRows.byShape(columns)
  const { age, slot } = columns
  return row !== undefined && Number.isSafeInteger(slot) && Number.isFinite(age) ? { slot, row, age } : undefined
}

const bySchema = (columns: any): Result.Result<RowDiff, Schema.SchemaError> => {
  const place = decodePlace(columns)
  if (Result.isFailure(place)) return Result.fail(place.failure)
  const { age, slot } = place.success
  if (columns.fingerprint === null) return Result.succeed({ slot, row: undefined })
  return Result.map(PgRows.bySchema(columns), (row) => ({ slot, row, age: age ?? undefined }))
}

const decodeDifferences = PgRows.decodeAll(byShape, bySchema)

/**
 * Each `OFFSET 0` keeps the planner from merging two levels: the arrays are read once, not once for each element, and
 * each row is hashed once, and only if it is asked for.
 */
export const selectDifferences = `
  SELECT e.slot, ${PgRows.columnsWith("e.fingerprint")}, ${PgRows.age} AS age
  FROM (
    SELECT k.slot, k.known, e.value, e.revision, e.updated_at, e.updated_by,
           CASE WHEN e.namespace IS NOT NULL THEN ${PgRows.fingerprint} END AS fingerprint
    FROM (
      SELECT pg_catalog.generate_subscripts(sent.namespaces, 1) - 1 AS slot,
             pg_catalog.unnest(sent.namespaces) AS namespace, pg_catalog.unnest(sent.keys) AS key, pg_catalog.unnest(sent.known) AS known
      FROM (SELECT $1::text[] AS namespaces, $2::text[] AS keys, $3::int8[] AS known OFFSET 0) AS sent
      OFFSET 0
    ) AS k
    LEFT JOIN systemplane_entries AS e ON e.namespace = k.namespace AND e.key = k.key AND ${PgRows.isStored}
    OFFSET 0
  ) AS e
  WHERE e.fingerprint IS DISTINCT FROM e.known`

/** Each answer is one statement, and hence one state of the table. */
export const diff = (
  query: Query,
  keys: ReadonlyArray<KeyName>,
  known: ReadonlyArray<bigint | undefined>
): Effect.Effect<ReadonlyArray<RowDiff>, SqlError> => {
  // As text: the driver cannot tell the type of an array that holds only NULL.
  const fingerprints = `{${known.map((fingerprint) => fingerprint ?? "NULL").join(",")}}`
  return query(selectDifferences, [...PgRows.namesOf(keys), fingerprints]).pipe(
    Effect.flatMap(decodeDifferences),
    PgRows.unexpectedShape
  )
}

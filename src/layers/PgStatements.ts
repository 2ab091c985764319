/**
 * The statements about entries. Each is one round trip, and decodes what it returns.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as EntryRow from "../schema/EntryRow.ts"
import type { Difference } from "../schema/Snapshot.ts"
import type { Query } from "../services/Connector.ts"
import type { EntryWrite, KeyName } from "../services/EntryStore.ts"
import type { Seed } from "../services/KeyRegistry.ts"

/**
 * A hash of everything a row says, in 64 bits: two states of one row collide once in 10^19. Of the value it hashes the text,
 * since the hash of a JSON array cannot tell some orders of its elements apart.
 */
const fingerprint = "hash_record_extended(ROW(e.revision, e.updated_at, e.updated_by, e.value::text), 0)"

const updatedAt = `least(greatest(e.updated_at, 'epoch'), '9999-12-31')`

/** The revision as readers are shown it, to be compared with what they expect. */
const shownRevision = "least(coalesce(e.revision, 0), 9007199254740991)"

/**
 * A row that somebody wrote with the triggers disabled may hold a revision or a time beyond what JavaScript can express
 * (2^53, `infinity`). It is brought into range, rather than let one row keep all others from being read. Numbers, since the driver
 * makes a `bigint` and a `Date` of what is none: a tenant may have 10,000 rows.
 */
const columnsWith = (fingerprint: string) => `
  e.value,
  ${shownRevision}::float8 AS revision,
  floor(round(date_part('epoch', ${updatedAt}) * 1e6) / 1e3) AS "updatedAt",
  coalesce(e.updated_by, '') AS "updatedBy",
  ${fingerprint} AS fingerprint`

const columns = columnsWith(fingerprint)

/**
 * Decodes rows one by one, until one fails: by their shape, and by the schema what does not have it, which takes twenty times as
 * long.
 */
const decodeAll =
  <A>(byShape: (row: any) => A | undefined, bySchema: (row: unknown) => Result.Result<A, Schema.SchemaError>) =>
  (rows: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<A>, Schema.SchemaError> =>
    Effect.suspend(() => {
      const decoded: Array<A> = []
      for (const row of rows) {
        const quick = byShape(row)
        if (quick !== undefined) {
          decoded.push(quick)
          continue
        }
        const result = bySchema(row)
        if (Result.isFailure(result)) return Effect.fail(result.failure)
        decoded.push(result.success)
      }
      return Effect.succeed(decoded)
    })

const decodeRows = decodeAll(EntryRow.byShape, EntryRow.bySchema)

/** The columns of a difference beside those of its row, which are all `NULL` where there is none. */
const Place = Schema.Struct({ slot: Schema.Int, age: Schema.NullOr(Schema.Finite) })
const decodePlace = Schema.decodeUnknownResult(Place)

const byShape = (columns: any): Difference | undefined => {
  const row = EntryRow.byShape(columns)
  const { age, slot } = columns
  return row !== undefined && Number.isSafeInteger(slot) && Number.isFinite(age) ? { slot, row, age } : undefined
}

const bySchema = (columns: any): Result.Result<Difference, Schema.SchemaError> => {
  const place = decodePlace(columns)
  if (Result.isFailure(place)) return Result.fail(place.failure)
  const { age, slot } = place.success
  if (columns.fingerprint === null) return Result.succeed({ slot, row: undefined })
  return Result.map(EntryRow.bySchema(columns), (row) => ({ slot, row, age: age ?? undefined }))
}

const decodeDifferences = decodeAll(byShape, bySchema)

/** The names of keys as they are sent: they are the same for every read of a tenant. */
const names = new WeakMap<ReadonlyArray<KeyName>, readonly [namespaces: string, keys: string]>()

const namesOf = (keys: ReadonlyArray<KeyName>) => {
  const sent =
    names.get(keys) ?? ([arrayOf(keys.map((key) => key.namespace)), arrayOf(keys.map((key) => key.key))] as const)
  names.set(keys, sent)
  return sent
}

/** An array as PostgreSQL reads it. */
const arrayOf = (texts: ReadonlyArray<string>): string =>
  `{${texts.map((text) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`

/**
 * Each `OFFSET 0` keeps the planner from merging two levels: the arrays are read once, not once for each element, and each row
 * is hashed once, and only if it is asked for.
 */
const selectDifferences = `
  SELECT e.slot, ${columnsWith("e.fingerprint")}, date_part('epoch', clock_timestamp() - ${updatedAt}) AS age
  FROM (
    SELECT k.slot, k.known, e.value, e.revision, e.updated_at, e.updated_by,
           CASE WHEN e.namespace IS NOT NULL THEN ${fingerprint} END AS fingerprint
    FROM (
      SELECT generate_subscripts(sent.namespaces, 1) - 1 AS slot,
             unnest(sent.namespaces) AS namespace, unnest(sent.keys) AS key, unnest(sent.known) AS known
      FROM (SELECT $1::text[] AS namespaces, $2::text[] AS keys, $3::int8[] AS known OFFSET 0) AS sent
      OFFSET 0
    ) AS k
    LEFT JOIN systemplane_entries AS e ON e.namespace = k.namespace AND e.key = k.key
    OFFSET 0
  ) AS e
  WHERE e.fingerprint IS DISTINCT FROM e.known`

/** How the table differs from what is known: see `EntryStore`. */
export const differences = (
  query: Query,
  keys: ReadonlyArray<KeyName>,
  known: ReadonlyArray<bigint | undefined>
): Effect.Effect<ReadonlyArray<Difference>, SqlError> => {
  if (keys.length === 0) return Effect.succeed([])
  // As text: the driver cannot tell the type of an array that holds nothing but NULL.
  const fingerprints = `{${known.map((fingerprint) => fingerprint ?? "NULL").join(",")}}`
  return query(selectDifferences, [...namesOf(keys), fingerprints]).pipe(
    Effect.flatMap(decodeDifferences),
    unexpectedShape
  )
}

/** The row of a key. */
export const read = (
  query: Query,
  { key, namespace }: KeyName
): Effect.Effect<Option.Option<EntryRow.EntryRow>, SqlError> =>
  query(`SELECT ${columns} FROM systemplane_entries AS e WHERE e.namespace = $1 AND e.key = $2`, [namespace, key]).pipe(
    Effect.flatMap(decodeRows),
    Effect.map((rows) => Option.fromUndefinedOr(rows[0])),
    unexpectedShape
  )

/**
 * How long a write waits for a row that another transaction holds, where the role or the database does not say. A statement
 * waits twice at most, for its turn and for that transaction: 4 of the 5 seconds it may take, so that the server gives the write
 * up while somebody still listens, and its outcome is known. In the
 * statement itself, since a pooler may give the next one to another session; and looked at whenever a wait begins, unlike
 * `statement_timeout`.
 */
const patience = `
  set_config('lock_timeout', coalesce(nullif(current_setting('lock_timeout'), '0'), '2s'), true) AS patience`

/**
 * Writes the row of a key, where it is at the expected revision; the trigger draws the new one. `None` where it is not: under
 * `READ COMMITTED` a concurrent writer's row is waited for and looked at again, so that of several writers who expect the same
 * revision one succeeds.
 */
export const put = (
  query: Query,
  { ifRevision, json, key, namespace }: EntryWrite,
  actor: string
): Effect.Effect<Option.Option<EntryRow.EntryRow>, SqlError> => {
  const insert = `INSERT INTO systemplane_entries AS e (namespace, key, value, updated_at, updated_by)
                  SELECT $1::text, $2::text, $3::jsonb, now(), $4::text FROM ${patience}`
  const statement =
    ifRevision === undefined
      ? `${insert}
         ON CONFLICT (namespace, key) DO UPDATE
         SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by`
      : ifRevision === 0
        ? `${insert} ON CONFLICT (namespace, key) DO NOTHING`
        : `UPDATE systemplane_entries AS e SET value = $3::jsonb, updated_at = now(), updated_by = $4
           FROM ${patience}
           WHERE e.namespace = $1 AND e.key = $2 AND ${shownRevision} = $5`
  const guard = ifRevision === undefined || ifRevision === 0 ? [] : [ifRevision]
  return query(`${statement} RETURNING ${columns}`, [namespace, key, json, actor, ...guard]).pipe(
    Effect.flatMap(decodeRows),
    Effect.map((rows) => Option.fromUndefinedOr(rows[0])),
    unexpectedShape
  )
}

const Deleted = Schema.Array(EntryRow.EntryRow.mapFields(({ revision }) => ({ revision })))
const decodeDeleted = Schema.decodeUnknownEffect(Deleted)

/** Deletes the row of a key, where it is at the expected revision, and returns that revision. */
export const remove = (
  query: Query,
  { key, namespace }: KeyName,
  ifRevision: number | undefined
): Effect.Effect<Option.Option<number>, SqlError> =>
  query(
    `DELETE FROM systemplane_entries AS e USING ${patience}
     WHERE e.namespace = $1 AND e.key = $2 AND ($3::int8 IS NULL OR ${shownRevision} = $3)
     RETURNING ${shownRevision}::float8 AS revision`,
    [namespace, key, ifRevision ?? null]
  ).pipe(
    Effect.flatMap(decodeDeleted),
    Effect.map((rows) => Option.map(Option.fromUndefinedOr(rows[0]), (row) => row.revision)),
    unexpectedShape
  )

/** Who wrote a seeded default; the name that Go services use too. */
const seeder = "systemplane.manager"

const Inserted = Schema.Array(Schema.Struct({ namespace: Schema.String }))
const decodeInserted = Schema.decodeUnknownEffect(Inserted)

/**
 * Inserts the defaults that have no row. Rows that exist are left out beforehand, since an insert that meets one would
 * still draw a revision; `ON CONFLICT` settles the race with another process.
 */
export const seed = (query: Query, seeds: ReadonlyArray<Seed>): Effect.Effect<number, SqlError> =>
  seeds.length === 0
    ? Effect.succeed(0)
    : query(
        `INSERT INTO systemplane_entries (namespace, key, value, updated_by)
         SELECT s.namespace, s.key, s.value::jsonb, $4
         FROM unnest($1::text[], $2::text[], $3::text[]) AS s (namespace, key, value)
         WHERE NOT EXISTS (
           SELECT FROM systemplane_entries AS e WHERE e.namespace = s.namespace AND e.key = s.key
         )
         ON CONFLICT (namespace, key) DO NOTHING
         RETURNING namespace`,
        [seeds.map((s) => s.namespace), seeds.map((s) => s.key), seeds.map((s) => s.json), seeder]
      ).pipe(
        Effect.flatMap(decodeInserted),
        Effect.map((rows) => rows.length),
        unexpectedShape
      )

// Another shape than the statement asks for: a view in the table's place, or a pooler that answers for the server.
const unexpectedShape = <A>(effect: Effect.Effect<A, SqlError | Schema.SchemaError>): Effect.Effect<A, SqlError> =>
  Effect.catchTag(effect, "SchemaError", (cause) =>
    Effect.fail(new SqlError({ reason: new UnknownError({ cause, message: "Unexpected result", operation: "query" }) }))
  )

/**
 * The columns of a row as statements return them, for tables that are called `e`, and how they are decoded.
 *
 * Every statement that reads entries takes its columns from here: the text of a value within bounds, the version of the
 * row as a fingerprint, and numbers that the driver makes without a detour. A row of the expected shape is decoded
 * without a schema, and any other one by the schema, which says what is wrong. Which rows are read is up to the
 * statements (diff/, PgEntryRead, PgWrites).
 */
import * as Effect from "effect/Effect"
import { memoize } from "effect/Function"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import type { EntryRow } from "../../schema/EntryRow.ts"
import type { KeyName } from "../../schema/KeyName.ts"
import * as SeedMark from "../../schema/SeedMark.ts"
import * as StoredValue from "../../schema/StoredValue.ts"
import * as WritableValue from "../../schema/WritableValue.ts"
import * as PgText from "./connection/PgText.ts"

/**
 * Which version of a row it is, in 64 bits: two versions have one fingerprint once in 10^19. Whatever writes a row
 * gives it the id of its transaction (`xmin`), also with the triggers disabled. A transaction that writes a row twice
 * puts the second version in another place (`ctid`): what our own statement returns may not be what a trigger of others
 * leaves. Both come again after a fail-over that lost commits; then the revision, the time, the value if it is short,
 * or else its size tell. Place and names differ from row to row, so that in the digest of many rows, the exclusive or
 * of their fingerprints, no two rows cancel each other out, nor two that were changed alike.
 *
 * No long value is read for it. A table that was written anew as it was (restored, repacked) has other fingerprints:
 * its rows are read again, and turn out to be the same.
 */
export const fingerprint = `pg_catalog.hash_record_extended(ROW(e.xmin, e.ctid, e.revision, e.updated_at, e.namespace, e.key,
    pg_catalog.pg_column_size(e.value), CASE WHEN ${WritableValue.isShort("e.value")} THEN e.value END), 0)`

/** How long ago a row was written, in seconds by the database's clock. */
export const age = `pg_catalog.date_part('epoch', clock_timestamp() - least(greatest(e.updated_at, 'epoch'), '9999-12-31'))`

/** Whether a row is one that readers see: an untouched seed is none. */
export const isStored = `NOT ${SeedMark.isUntouched("e")}`

/** A revision as readers are shown it. One that was written with the triggers disabled may be any number. */
export const inRange = (revision: string) => `greatest(least(coalesce(${revision}, 0), ${Number.MAX_SAFE_INTEGER}), 0)`

/**
 * The revision as readers are shown it, to be compared with what they expect: 0 for an untouched seed, as for no row.
 */
export const shownRevision = `CASE WHEN ${isStored} THEN ${inRange("e.revision")} ELSE 0 END`

/**
 * The text of a value. One above the bounds stays on the server, which says so with what is no JSON: `!` and how long
 * it is, or `^` if it is too deep. No text of a value of more than eight times the bound is within it: a number takes
 * three bytes or more there.
 */
const textOf = (short: string, value = "e.value", always = WritableValue.always) => `coalesce(${short}, CASE
  WHEN pg_catalog.pg_column_size(${value}) > ${WritableValue.never} THEN '!' OPERATOR(pg_catalog.||) pg_catalog.pg_column_size(${value})
  ELSE (
    SELECT CASE WHEN pg_catalog.octet_length(t.text) <= ${StoredValue.maxBytes} THEN t.text ELSE '!' OPERATOR(pg_catalog.||) pg_catalog.octet_length(t.text) END
    FROM (
      SELECT CASE
        WHEN s.size <= ${always} THEN coalesce(s.value::text, 'null')
        WHEN s.size > ${WritableValue.never} THEN '!' OPERATOR(pg_catalog.||) s.size
        WHEN pg_catalog.jsonb_path_exists(s.value, 'strict $.**{${StoredValue.maxDepth + 1}}') THEN '^'
        WHEN ${WritableValue.digits("s.value")} > ${WritableValue.mostDigits} THEN '!' OPERATOR(pg_catalog.||) ${WritableValue.digits("s.value")}
        ELSE s.value::text
      END AS text
      FROM ${WritableValue.sized(value)} OFFSET 0
    ) AS t
  ) END)`

/**
 * The same of any value: `NULL` if there is none. A statement about many of them looks at the digits of all but small
 * ones first, since 5 kB can have a text of 60 MB.
 */
export const boundedText = (value: string) =>
  `CASE WHEN ${value} IS NOT NULL THEN ${textOf(`CASE WHEN ${WritableValue.isShort(value)} THEN ${value}::text END`, value, 256)} END`

/** Whether what came is not the text of a value: it stayed on the server, or is not UTF-8. */
export const isKeptBack = (text: string): boolean => text.startsWith("!") || text === "^" || PgText.isMarked(text)

/**
 * Whether a row is that of a key whose value is wanted: of others not even the length is. The parameter is what
 * `pathsOf` makes of those keys. The server makes one hash table of it; one text for both names takes it two thirds of
 * the time that two take.
 */
export const isOneOf = (paths: string): string =>
  `e.namespace || E'\\n' || e.key IN (SELECT pg_catalog.unnest(${paths}::text[]))`

/**
 * The same for a statement that is planned for its parameters, in a third of the time: the planner then makes a hash
 * table of an array. A prepared statement may come to be planned without them, and compares each row with each element.
 */
export const isOneOfThese = (paths: string): string => `e.namespace || E'\\n' || e.key = ANY (${paths}::text[])`

/** More of an actor's name is not fetched. */
const longestActor = 1_000

/** The text of a value if that is short, and `NULL` for another. */
const short = `CASE WHEN ${WritableValue.isShort("e.value")} THEN e.value::text END`

/**
 * The text of a value, parsed here and not by the driver, so that what is wrong with one value rejects one row. The
 * rest are numbers, since the driver makes a `bigint` and a `Date` of what is none: a tenant may have 10,000 rows.
 */
const columnsOf = (fingerprint: string, text: string) => `
  ${text} AS value,
  coalesce(e.revision, 0)::float8 AS revision,
  coalesce(pg_catalog.date_part('epoch', e.updated_at), 0) AS seconds,
  CASE WHEN pg_catalog.octet_length(e.updated_by) <= ${longestActor} THEN e.updated_by
    ELSE pg_catalog.left(coalesce(e.updated_by, ''), ${longestActor}) END AS "updatedBy",
  ${fingerprint} AS fingerprint`

/** The columns of rows that are all wanted, whose fingerprint is known by this name. */
export const columnsWith = (fingerprint: string) => columnsOf(fingerprint, textOf(short))

export const columns = columnsWith(fingerprint)

/** The columns of rows of which only some are wanted. The values of the others are not fetched: they are `null`. */
export const columnsIf = (wanted: string) => columnsOf(fingerprint, `CASE WHEN ${wanted} THEN (${textOf(short)}) END`)

/** An array as PostgreSQL reads it. */
export const arrayOf = (texts: ReadonlyArray<string | undefined>): string =>
  `{${texts.map((text) => (text === undefined ? "NULL" : `"${special.test(text) ? text.replaceAll(/["\\]/g, "\\$&") : text}"`)).join(",")}}`

const special = /["\\]/

/** Keys as `isOneOf` compares them. Should two names be told apart no more, a value is fetched that no key takes. */
export const pathsOf = memoize((keys: ReadonlyArray<KeyName>): string =>
  arrayOf(keys.map(({ key, namespace }) => `${namespace}\n${key}`))
)

/** The names of keys as they are sent: they are the same for every tenant. */
export const namesOf = memoize((keys: ReadonlyArray<KeyName>): readonly [namespaces: string, keys: string] => [
  arrayOf(keys.map((key) => key.namespace)),
  arrayOf(keys.map((key) => key.key))
])

/** A row as the statements return it. */
const Columns = Schema.Struct({
  /** `null` for a row whose value was not wanted. */
  value: Schema.NullOr(Schema.String),
  /** Also beyond 2^53. */
  revision: Schema.Number.check(Schema.makeFilter(Number.isInteger, { expected: "a whole number" })),
  /** When it was written, since the epoch. */
  seconds: Schema.Number,
  updatedBy: Schema.String,
  fingerprint: Schema.BigInt
})
const decodeColumns = Schema.decodeUnknownResult(Columns)

const latest = Date.UTC(9999, 11, 31) / 1000

/**
 * A row that was written with the triggers disabled may hold a revision or a time beyond what JavaScript can express
 * (2^53, `infinity`), or below zero. It is brought into range, rather than let one row keep all others from being read.
 */
const rowOf = ({ fingerprint, revision, seconds, updatedBy, value }: typeof Columns.Type): EntryRow => {
  const stored = valueIn(value)
  const row = {
    value: stored.value,
    revision: Math.max(Math.min(revision, Number.MAX_SAFE_INTEGER), 0),
    // To the microsecond first: a fraction of a second is rarely exact.
    updatedAt: Math.floor(Math.round(Math.min(Math.max(seconds, 0), latest) * 1e6) / 1e3),
    updatedBy,
    fingerprint
  }
  return stored.problem === undefined && stored.inexact === undefined ? row : { ...row, ...stored }
}

const valueIn = (text: string | null): StoredValue.StoredValue =>
  text === null
    ? notFetched
    : text.startsWith("!")
      ? StoredValue.tooLong(Number(text.slice(1)))
      : text === "^"
        ? StoredValue.tooDeep
        : PgText.isMarked(text)
          ? StoredValue.notUtf8
          : StoredValue.parse(text)

const notFetched: StoredValue.StoredValue = { value: undefined }

/** Whether a row came with its value, or with what is wrong with that. */
export const isFetched = ({ problem, value }: EntryRow): boolean => value !== undefined || problem !== undefined

/** Decodes a row, and says what is wrong with one that is not as it should be. */
export const bySchema = (columns: unknown): Result.Result<EntryRow, Schema.SchemaError> =>
  Result.map(decodeColumns(columns), rowOf)

/**
 * The same of a row that is as it should be, in a twentieth of the time: a tenant may have 10,000. `undefined`
 * otherwise.
 */
export const byShape = (columns: any): EntryRow | undefined =>
  typeof columns === "object" &&
  columns !== null &&
  (typeof columns.value === "string" || columns.value === null) &&
  Number.isInteger(columns.revision) &&
  typeof columns.seconds === "number" &&
  typeof columns.updatedBy === "string" &&
  typeof columns.fingerprint === "bigint"
    ? rowOf(columns)
    : undefined

type ByShape<A> = (row: any) => A | undefined
type BySchema<A> = (row: unknown) => Result.Result<A, Schema.SchemaError>

/** Decodes rows as they are taken, until one fails: by their shape, and by the schema what does not have it. */
export const decoder = <A>(byShape: ByShape<A>, bySchema: BySchema<A>) => {
  const decoded: Array<A> = []
  let failure: Schema.SchemaError | undefined
  return {
    take: (rows: ReadonlyArray<unknown>): void => {
      for (const row of rows) {
        if (failure !== undefined) return
        const quick = byShape(row)
        if (quick !== undefined) {
          decoded.push(quick)
          continue
        }
        const result = bySchema(row)
        if (Result.isSuccess(result)) decoded.push(result.success)
        else failure = result.failure
      }
    },
    /** What was decoded of all that were taken. */
    decoded: Effect.suspend(() =>
      failure === undefined ? Effect.succeed<ReadonlyArray<A>>(decoded) : Effect.fail(failure)
    )
  }
}

/** Decodes rows one by one, until one fails. */
export const decodeAll =
  <A>(byShape: ByShape<A>, bySchema: BySchema<A>) =>
  (rows: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<A>, Schema.SchemaError> =>
    Effect.suspend(() => {
      const { decoded, take } = decoder(byShape, bySchema)
      take(rows)
      return decoded
    })

export const decodeRows = decodeAll(byShape, bySchema)

/**
 * Two rows have one name: the primary key was dropped. Neither is the value of the key, and taking one of them would
 * have it change with every read.
 */
export const nameTwice = Effect.fail(
  new SqlError({
    reason: new UnknownError({ cause: { code: "42P10" }, message: "Two rows have one name", operation: "query" })
  })
)

/** Another shape than the statement asks for: a view in the table's place, or a pooler that answers for the server. */
export const unexpectedShape = <A>(
  effect: Effect.Effect<A, SqlError | Schema.SchemaError>
): Effect.Effect<A, SqlError> =>
  Effect.catchTag(effect, "SchemaError", (cause) =>
    Effect.fail(new SqlError({ reason: new UnknownError({ cause, message: "Unexpected result", operation: "query" }) }))
  )

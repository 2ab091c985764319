/**
 * The columns of a row as statements return them, for tables that are called `e`, and how they are decoded.
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

const maxWritten = 65_536

const hashedValue = `CASE WHEN pg_column_size(e.value) > ${maxWritten} THEN jsonb_hash_extended(e.value, 0)::text ELSE coalesce(e.value::text, '') END`

/**
 * A hash of everything a row says, its names included, in 64 bits: two rows collide once in 10^19. Each column's hash is the
 * seed of the next, so that two rows which change alike do not change a digest of both by the same twice, as they would were the
 * hashes of their columns added up. Of the value it hashes the text, since the hash of a JSON array cannot tell some orders of its
 * elements apart; but that of a value of more than 64 KiB, which would take the server long to write out: there a change that the
 * hash cannot tell is told by the revision.
 */
export const fingerprint = ["e.namespace", "e.key", "coalesce(e.updated_by, '')", hashedValue].reduce(
  (seed, text) => `hashtextextended(${text}, ${seed})`,
  "hashint8extended(coalesce(e.revision, 0), hashfloat8extended(coalesce(date_part('epoch', e.updated_at), 0), 0))"
)

/** How long ago a row was written, in seconds by the database's clock. */
export const age = `date_part('epoch', clock_timestamp() - least(greatest(e.updated_at, 'epoch'), '9999-12-31'))`

/** Whether a row is one that readers see: an untouched seed is none. */
export const isStored = `NOT ${SeedMark.isUntouched("e")}`

/** The revision as readers are shown it, to be compared with what they expect: 0 for an untouched seed, as for no row. */
export const shownRevision = `CASE WHEN ${isStored} THEN least(coalesce(e.revision, 0), 9007199254740991) ELSE 0 END`

/** A value above the bound stays on the server, which says how long it is: `!` and its length, which is no JSON. */
const textIf = (fetched: string) => `
  CASE WHEN pg_column_size(e.value) > ${StoredValue.maxBytes} THEN '!' || pg_column_size(e.value) WHEN ${fetched} THEN (
    SELECT CASE WHEN octet_length(t.text) <= ${StoredValue.maxBytes} THEN t.text ELSE '!' || octet_length(t.text) END
    FROM (SELECT coalesce(e.value::text, 'null') AS text OFFSET 0) AS t
  ) END`

/** More of an actor's name is not fetched. */
const longestActor = 1_000

/**
 * The text of a value, parsed here and not by the driver, so that what is wrong with one value rejects one row. The
 * rest are numbers, since the driver makes a `bigint` and a `Date` of what is none: a tenant may have 10,000 rows.
 */
export const columnsWith = (fingerprint: string, fetched = "true") => `
  ${textIf(fetched)} AS value,
  coalesce(e.revision, 0)::float8 AS revision,
  coalesce(date_part('epoch', e.updated_at), 0) AS seconds,
  left(coalesce(e.updated_by, ''), ${longestActor}) AS "updatedBy",
  ${fingerprint} AS fingerprint`

export const columns = columnsWith(fingerprint)

/** An array as PostgreSQL reads it. */
export const arrayOf = (texts: ReadonlyArray<string | undefined>): string =>
  `{${texts.map((text) => (text === undefined ? "NULL" : `"${text.replaceAll(/["\\]/g, "\\$&")}"`)).join(",")}}`

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
 * (2^53, `infinity`). It is brought into range, rather than let one row keep all others from being read.
 */
const rowOf = ({ fingerprint, revision, seconds, updatedBy, value }: typeof Columns.Type): EntryRow => ({
  ...valueIn(value),
  revision: Math.min(revision, Number.MAX_SAFE_INTEGER),
  // To the microsecond first: a fraction of a second is seldom exact.
  updatedAt: Math.floor(Math.round(Math.min(Math.max(seconds, 0), latest) * 1e6) / 1e3),
  updatedBy,
  fingerprint
})

const valueIn = (text: string | null): StoredValue.StoredValue =>
  text === null
    ? { value: undefined }
    : text.startsWith("!")
      ? StoredValue.parse(undefined, Number(text.slice(1)))
      : StoredValue.parse(text)

/** Decodes a row, and says what is wrong with one that is not as it should be. */
export const bySchema = (columns: unknown): Result.Result<EntryRow, Schema.SchemaError> =>
  Result.map(decodeColumns(columns), rowOf)

/** The same of a row that is as it should be, in a twentieth of the time: a tenant may have 10,000. `undefined` otherwise. */
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

/** Another shape than the statement asks for: a view in the table's place, or a pooler that answers for the server. */
export const unexpectedShape = <A>(
  effect: Effect.Effect<A, SqlError | Schema.SchemaError>
): Effect.Effect<A, SqlError> =>
  Effect.catchTag(effect, "SchemaError", (cause) =>
    Effect.fail(new SqlError({ reason: new UnknownError({ cause, message: "Unexpected result", operation: "query" }) }))
  )

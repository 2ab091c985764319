/**
 * The columns of a row as statements return them, for tables that are called `e`, and how they are decoded.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as EntryRow from "../schema/EntryRow.ts"

/**
 * A hash of everything a row says, its names included, in 64 bits: two rows collide once in 10^19. Of the value it hashes the
 * text, since the hash of a JSON array cannot tell some orders of its elements apart. Hashed twice: the hash of a record is the
 * weighted sum of those of its columns, so that two rows which change alike would change a digest of both by the same twice.
 */
export const fingerprint =
  "hashtextextended(hash_record_extended(ROW(e.namespace, e.key, e.revision, e.updated_at, e.updated_by, e.value::text), 0)::text, 0)"

export const updatedAt = `least(greatest(e.updated_at, 'epoch'), '9999-12-31')`

/** How long ago a row was written, in seconds by the database's clock. */
export const age = `date_part('epoch', clock_timestamp() - ${updatedAt})`

/** The revision as readers are shown it, to be compared with what they expect. */
export const shownRevision = "least(coalesce(e.revision, 0), 9007199254740991)"

/**
 * A row that somebody wrote with the triggers disabled may hold a revision or a time beyond what JavaScript can express
 * (2^53, `infinity`). It is brought into range, rather than let one row keep all others from being read. Numbers, since the driver
 * makes a `bigint` and a `Date` of what is none: a tenant may have 10,000 rows.
 */
export const columnsWith = (fingerprint: string) => `
  e.value,
  ${shownRevision}::float8 AS revision,
  floor(round(date_part('epoch', ${updatedAt}) * 1e6) / 1e3) AS "updatedAt",
  coalesce(e.updated_by, '') AS "updatedBy",
  ${fingerprint} AS fingerprint`

export const columns = columnsWith(fingerprint)

/**
 * Decodes rows one by one, until one fails: by their shape, and by the schema what does not have it, which takes twenty times as
 * long.
 */
export const decodeAll =
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

export const decodeRows = decodeAll(EntryRow.byShape, EntryRow.bySchema)

/** Another shape than the statement asks for: a view in the table's place, or a pooler that answers for the server. */
export const unexpectedShape = <A>(
  effect: Effect.Effect<A, SqlError | Schema.SchemaError>
): Effect.Effect<A, SqlError> =>
  Effect.catchTag(effect, "SchemaError", (cause) =>
    Effect.fail(new SqlError({ reason: new UnknownError({ cause, message: "Unexpected result", operation: "query" }) }))
  )

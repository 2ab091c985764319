/**
 * One row of `systemplane_entries` as every implementation of the store hands it over.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

/** `int8` arrives as `bigint`; the sequence stays far below 2^53. */
const Int8 = Schema.BigInt.pipe(
  Schema.decodeTo(Schema.Int, {
    decode: SchemaGetter.transform((n: bigint) => Number(n)),
    encode: SchemaGetter.transform((n: number) => BigInt(n))
  })
)

/**
 * A stored entry before its value is decoded.
 *
 * **Details**
 *
 * `fingerprint` is a hash of all other columns, computed by the database: two rows of a key with the same fingerprint
 * are the same row.
 *
 * @category models
 * @since 0.1.0
 */
export const EntryRow = Schema.Struct({
  value: Schema.Unknown,
  revision: Int8,
  updatedAt: Schema.DateTimeUtcFromDate,
  updatedBy: Schema.String,
  fingerprint: Schema.BigInt
})

/**
 * @category models
 * @since 0.1.0
 */
export type EntryRow = typeof EntryRow.Type

const decodeRow = Schema.decodeUnknownResult(EntryRow)

/**
 * Decodes a row as the driver hands it over.
 *
 * **Details**
 *
 * A tenant may have 10,000 rows, and the schema takes twenty times as long for each as this check of its fixed shape. What
 * does not pass it is decoded by the schema, which has the last word, and says what is wrong.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (row: unknown): Result.Result<EntryRow, Schema.SchemaError> =>
  isAsExpected(row)
    ? Result.succeed({
        value: row.value,
        revision: Number(row.revision),
        updatedAt: DateTime.fromDateUnsafe(row.updatedAt),
        updatedBy: row.updatedBy,
        fingerprint: row.fingerprint
      })
    : decodeRow(row)

interface Expected {
  readonly value: unknown
  readonly revision: bigint
  readonly updatedAt: Date
  readonly updatedBy: string
  readonly fingerprint: bigint
}

const isAsExpected = (row: any): row is Expected =>
  typeof row === "object" &&
  row !== null &&
  row.value !== undefined &&
  typeof row.revision === "bigint" &&
  Number.isSafeInteger(Number(row.revision)) &&
  row.updatedAt instanceof Date &&
  !Number.isNaN(row.updatedAt.getTime()) &&
  typeof row.updatedBy === "string" &&
  typeof row.fingerprint === "bigint"

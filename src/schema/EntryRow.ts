/**
 * One row of `systemplane_entries` as every implementation of the store hands it over.
 *
 * @since 0.1.0
 */
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

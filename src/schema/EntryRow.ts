/**
 * One row of `systemplane_entries` as every implementation of the store hands it over.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A stored entry before its value is decoded.
 *
 * **Details**
 *
 * `updatedAt` is in milliseconds since the epoch. `fingerprint` is a hash of all other columns, computed by the database: two rows of a key with the same fingerprint
 * are the same row.
 *
 * @category models
 * @since 0.1.0
 */
export const EntryRow = Schema.Struct({
  value: Schema.Unknown,
  revision: Schema.Int,
  updatedAt: Schema.Finite,
  updatedBy: Schema.String,
  fingerprint: Schema.BigInt
})

/**
 * @category models
 * @since 0.1.0
 */
export type EntryRow = typeof EntryRow.Type

/**
 * Decodes a row as the database hands it over, and says what is wrong with one that is not as it should be.
 *
 * @category decoding
 * @since 0.1.0
 */
export const bySchema = Schema.decodeUnknownResult(EntryRow)

/**
 * The same of a row that is as it should be, in a twentieth of the time: a tenant may have 10,000. `undefined` otherwise.
 *
 * @category decoding
 * @since 0.1.0
 */
export const byShape = (row: any): EntryRow | undefined => {
  if (typeof row !== "object" || row === null) return undefined
  const { fingerprint, revision, updatedAt, updatedBy, value } = row
  return "value" in row &&
    Number.isSafeInteger(revision) &&
    Number.isFinite(updatedAt) &&
    typeof updatedBy === "string" &&
    typeof fingerprint === "bigint"
    ? { value, revision, updatedAt, updatedBy, fingerprint }
    : undefined
}

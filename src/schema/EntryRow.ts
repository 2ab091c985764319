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
 * `updatedAt` is in milliseconds since the epoch. `fingerprint` tells the versions of a row apart, also if neither its
 * revision nor its value changed: two rows of a key with the same fingerprint are the same row.
 *
 * @category models
 * @since 0.1.0
 */
export const EntryRow = Schema.Struct({
  value: Schema.Unknown,
  /** Why the value could not be taken at all: too long, too deep. `value` is then `undefined`. */
  problem: Schema.optional(Schema.String),
  /** The places at which `value` holds digits as text instead of numbers that a double cannot hold. */
  inexact: Schema.optional(Schema.Array(Schema.Array(Schema.String))),
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

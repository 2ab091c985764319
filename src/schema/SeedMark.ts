/**
 * The mark that tells a seed from a stored value: a row whose `updated_by` is the mark of its own value holds a default
 * that was written by seeding and that no operator has touched since. Statements, triggers and the memory table find it
 * by this file alone.
 *
 * A reader never sees such a row: to it the key has no row, is at revision 0, and has the default of the reading
 * process. That is how a new default in the code comes into force on a database that was seeded with the old one. The
 * server computes the mark from the value as it stores it, so that the mark is the same whatever wrote it and whatever
 * the database's encoding is.
 *
 * @since 0.1.0
 */
import * as Hash from "effect/Hash"
import * as Utf8 from "./Utf8.ts"
import { isWritable } from "./WritableValue.ts"

/** What the mark of every seed begins with. A row that says only the name before the colon is a stored value. */
const prefix = "systemplane.manager:"

/** Whether a text claims to be the mark of a seed. A caller's name may not: its value would count as a seed. */
export const isClaimed = (actor: string): boolean => actor.startsWith(prefix)

/** How many digits of the hash follow it. */
const digits = 16

/**
 * The mark of a `jsonb` value, as an SQL expression.
 *
 * @category sql
 * @since 0.1.0
 */
export const seedMark = (value: string): string =>
  `('${prefix}' || pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(${Utf8.bytesOf(`(${value})::text`)}), 'hex'), ${digits}))`

/**
 * Whether a row of `systemplane_entries` is an untouched seed, as an SQL condition that is never `NULL`.
 *
 * **Details**
 *
 * `alias` is what the statement calls the row: a table alias, or `OLD` and `NEW` in a trigger. The value is hashed only
 * if the row claims to be a seed, and if the server may write its text: no default is as long as what it may not.
 *
 * @category sql
 * @since 0.1.0
 */
export const isUntouched = (alias: string): string =>
  `(CASE WHEN pg_catalog.octet_length(${alias}.updated_by) = ${prefix.length + digits} ` +
  `AND pg_catalog.starts_with(${alias}.updated_by, '${prefix}') AND ${isWritable(`${alias}.value`)} ` +
  `THEN ${alias}.updated_by = ${seedMark(`${alias}.value`)} ELSE false END IS TRUE)`

/**
 * The mark of a value in the memory table, which no server hashes. It needs to be recognised by the memory table alone.
 *
 * @category memory
 * @since 0.1.0
 */
export const inMemory = (text: string): string =>
  `${prefix}${[text, `${text}\n`].map((part) => (Hash.string(part) >>> 0).toString(16).padStart(8, "0")).join("")}`

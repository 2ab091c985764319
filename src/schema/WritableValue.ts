/**
 * Which `jsonb` values the server may be asked to write as text, as SQL expressions.
 *
 * A number takes 12 bytes in a `jsonb` value and up to 147,000 characters in its text: a row of 5 kB can have a text
 * that the server takes seconds to write, or fails to write because it is longer than 1 GB. Statements and triggers
 * that need a value's text look at its size first, and at the digits of its numbers if the size does not tell.
 *
 * @since 0.1.0
 */
import * as StoredValue from "./StoredValue.ts"

/**
 * A value that is short and was not compressed: most values, and the server has its text at once.
 *
 * @since 0.1.0
 */
export const isShort = (value: string): string =>
  `pg_catalog.pg_column_size(${value}) <= 64 AND pg_catalog.pg_column_compression(${value}) IS NULL`

/**
 * How long a value is in the server's memory, in bytes: what is stored may be compressed to a hundredth of that.
 *
 * @since 0.1.0
 */
export const size = (value: string): string => `pg_catalog.pg_column_size(pg_catalog.jsonb_build_array(${value}))`

/**
 * Up to this size any value is written: 2,730 numbers of 12 bytes each, with up to 147 kB of digits each, are 400 MB,
 * and a text of 1 GB would fail the statement.
 *
 * @since 0.1.0
 */
export const always = 32_768

/**
 * Above this size none is: no text of such a value is within the bound, since a number takes three bytes or more there.
 *
 * @since 0.1.0
 */
export const never = 8 * StoredValue.maxBytes

/** The parts of a value that is not too deep. Strict, since otherwise the elements of arrays are found twice. */
const parts = `strict $.**{0 to ${StoredValue.maxDepth}}`

/**
 * How many digits the numbers of a value have at most, which the server writes out: 1e131071 takes 12 bytes. The
 * numbers are had as one array: as rows of `jsonb_path_query` 200,000 of them take the server a quarter of a minute,
 * since each row moves all that follow. For no text within the bound this comes to more than 40 times its length.
 *
 * @since 0.1.0
 */
export const digits = (value: string): string => `(
  SELECT coalesce(pg_catalog.sum(pg_catalog.scale(n::numeric) + CASE WHEN pg_catalog.abs(n::numeric) < 1e18 THEN 20
    WHEN pg_catalog.abs(n::numeric) < 1e400 THEN 400 WHEN pg_catalog.abs(n::numeric) < 1e4000 THEN 4000 ELSE 131072 END), 0)
  FROM pg_catalog.jsonb_array_elements(
    pg_catalog.jsonb_path_query_array(${value}, '${parts} ? (@.type() == "number")')
  ) AS n (n)
)`

/**
 * Above it, a value's numbers are not written to see how long its text is: half a second of the server's time.
 *
 * @since 0.1.0
 */
export const mostDigits = 64 * StoredValue.maxBytes

/**
 * A value with its size in the server's memory, called `s`, to be looked at before it is written.
 *
 * @since 0.1.0
 */
export const sized = (value: string): string => `(SELECT ${value} AS value, ${size(value)} AS size OFFSET 0) AS s`

/**
 * Whether the server may write a value, as a condition.
 *
 * @since 0.1.0
 */
export const isWritable = (value: string): string => `CASE WHEN ${isShort(value)} THEN true ELSE (
  SELECT CASE WHEN s.size <= ${always} THEN true WHEN s.size > ${never} THEN false
    ELSE ${digits("s.value")} <= ${mostDigits} END
  FROM ${sized(value)}
) END`

/**
 * What `jsonb` makes of a value: the last of duplicate names counts, names are ordered by length and then by their
 * bytes, `1.0` equals `1`, and what `jsonb` refuses is refused. PostgreSQL keeps more digits of a number than
 * JavaScript has: here `1e400` is refused, and digits beyond a double are lost on the way in, not on the way out.
 */
import * as Result from "effect/Result"
import { Refused } from "../EntryStoreError.ts"
import * as JsonText from "../JsonText.ts"

/** The text of a value as `jsonb` writes it, but for white space; or the refusal that PostgreSQL answers with. */
export const encode = (json: string): Result.Result<string, Refused> => {
  try {
    const value: unknown = JSON.parse(json)
    return Result.isSuccess(JsonText.encode(value))
      ? Result.succeed(JSON.stringify(ordered(value)))
      : Result.fail(new Refused({ code: "22P05" }))
  } catch {
    return Result.fail(new Refused({ code: "22P02" }))
  }
}

/** A value with its names in the order of `jsonb`. */
export const ordered = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(ordered)
  if (typeof value !== "object" || value === null) return value
  const byLengthThenBytes = Object.entries(value).map(([name, part]) => ({ name, bytes: utf8.encode(name), part }))
  byLengthThenBytes.sort((a, b) => a.bytes.length - b.bytes.length || compareBytes(a.bytes, b.bytes))
  return Object.fromEntries(byLengthThenBytes.map(({ name, part }) => [name, ordered(part)]))
}

const compareBytes = (a: Uint8Array, b: Uint8Array): number => {
  const at = a.findIndex((byte, i) => byte !== b[i])
  return at < 0 ? 0 : a[at]! - b[at]!
}

const utf8 = new TextEncoder()

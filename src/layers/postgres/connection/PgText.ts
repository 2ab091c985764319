/**
 * Texts as sessions hand them over. A database in `SQL_ASCII` takes any bytes, and nothing says what they mean. The
 * driver gives up a connection that brings a text which is not UTF-8: one row would keep all others from being read.
 *
 * So such a text is marked, and is neither JSON nor the name of a key: a value is rejected, and a name is one that was
 * not declared. The bytes behind the mark are shown as Latin-1, which tells different ones apart. In JSON the server
 * sends no values, but names of its catalogue, such as that of a column: what is not UTF-8 in one is replaced.
 */
import { isUtf8 } from "node:buffer"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Result from "effect/Result"

/** What a text begins with that is not UTF-8. */
const mark = "\ufffd"

/** Whether it is the text of no value: JSON never begins like this. */
export const isMarked = (text: string): boolean => text.startsWith(mark)

const decode = (bytes: Uint8Array, start: number, end: number): string => {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString("utf8", start, end)
  // What is replaced may also have been written.
  if (!text.includes(mark) || isUtf8(buffer.subarray(start, end))) return text
  return mark + buffer.toString("latin1", start, end)
}

const texts: PgTypes.Codec<string> = {
  encode: (text) => PgTypes.encode(text, PgTypes.OID.text),
  decode: (bytes) => Result.succeed(decode(bytes, 0, bytes.length)),
  read: (bytes, offset, size) => Result.succeed(decode(bytes, offset, offset + size))
}

const json: PgTypes.Codec<unknown> = {
  encode: (value) => PgTypes.encode(value, PgTypes.OID.json),
  decode: (bytes) => Result.succeed(JSON.parse(Buffer.from(bytes).toString("utf8")))
}

/** What all sessions encode and decode with: a registry takes as much memory as the session that it is made for. */
export const types = PgTypes.makeRegistry()

/**
 * Has all sessions take any bytes for a text, from the first server in `SQL_ASCII` on. What is UTF-8 is decoded as
 * before, but a first load of 10,000 rows takes a tenth longer.
 */
export const takeAnyBytes = (): void => {
  for (const oid of [PgTypes.OID.text, PgTypes.OID.varchar]) types.register(oid, texts)
  types.register(PgTypes.OID.json, json)
}

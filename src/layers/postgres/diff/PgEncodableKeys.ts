/**
 * Reads on behalf of keys whose names the database's encoding may not be able to hold.
 *
 * A statement that names such a key fails as a whole (22P05), and no row can have that name. So the server is asked
 * which characters of the names it can hold, and the read is made for the other keys: the keys that cannot have a row
 * have none. What the names consist of decides, not how many keys there are; names in ASCII are never asked about.
 */
import * as Effect from "effect/Effect"
import { memoize } from "effect/Function"
import type { SqlError } from "effect/sql/SqlError"
import type { KeyName } from "../../../schema/KeyName.ts"
import type { RowDiff } from "../../../schema/Snapshot.ts"
import type { Query } from "../../../services/Connector.ts"
import * as PgFailure from "../connection/PgFailure.ts"

type Known = ReadonlyArray<bigint | undefined>
type Diff = (keys: ReadonlyArray<KeyName>, known: Known) => Effect.Effect<ReadonlyArray<RowDiff>, SqlError>

/** Called with the keys that are left out. */
type Report = (keys: ReadonlyArray<KeyName>) => Effect.Effect<void>

/** The keys that a database can hold, and their slots among all keys. */
interface Encodable {
  readonly keys: ReadonlyArray<KeyName>
  readonly slots: ReadonlyArray<number>
}

const isUnencodable = (error: SqlError): boolean => /^(22P05|22021)$/.test(PgFailure.codeOf(error).code ?? "")

/** A character that the server cannot hold fails the statement: halves are sent, until each that fails is alone. */
const unencodable = (
  query: Query,
  characters: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  characters.length === 0
    ? Effect.succeed([])
    : query("SELECT length($1::text) AS length", [characters.join("")]).pipe(
        Effect.as<ReadonlyArray<string>>([]),
        Effect.catchIf(isUnencodable, () => {
          if (characters.length === 1) return Effect.succeed(characters)
          const half = characters.length >> 1
          return Effect.zipWith(
            unencodable(query, characters.slice(0, half)),
            unencodable(query, characters.slice(half)),
            (a, b) => [...a, ...b]
          )
        })
      )

const nonAscii = /[^\0-\x7f]/u

const encodable = Effect.fnUntraced(function* (
  query: Query,
  keys: ReadonlyArray<KeyName>,
  report: Report
): Effect.fn.Return<Encodable, SqlError> {
  const charactersOf = ({ key, namespace }: KeyName) => [...`${namespace}${key}`].filter((char) => nonAscii.test(char))
  const missing = new Set(yield* unencodable(query, [...new Set(keys.flatMap(charactersOf))]))
  const slots = [...keys.keys()].filter((slot) => !charactersOf(keys[slot]!).some((char) => missing.has(char)))
  const left = new Set(slots)
  yield* report(keys.filter((_, slot) => !left.has(slot)))
  return { keys: slots.map((slot) => keys[slot]!), slots }
})

/** The same reads, for those of the keys that the database can hold. It remembers which these are. */
export const among = (query: Query, diff: Diff, report: Report = () => Effect.void): Diff => {
  const reads = memoize((keys: ReadonlyArray<KeyName>) => {
    let found: Encodable | undefined
    const ofFound = ({ keys, slots }: Encodable, known: Known) =>
      Effect.map(
        diff(
          keys,
          slots.map((slot) => known[slot])
        ),
        (rows) => rows.map((row) => ({ ...row, slot: slots[row.slot]! }))
      )
    return (known: Known) =>
      found !== undefined
        ? ofFound(found, known)
        : Effect.catchIf(diff(keys, known), isUnencodable, () =>
            Effect.flatMap(encodable(query, keys, report), (now) => {
              found = now
              return ofFound(now, known)
            })
          )
  })
  return (keys, known) => reads(keys)(known)
}

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

/** Whether a statement was refused because the database's encoding cannot hold a character of its parameters. */
export const isUnencodableCode = (code: string | undefined): boolean => code === "22P05" || code === "22021"

/** The same of what a statement failed with. */
export const isUnencodable = (error: SqlError): boolean => isUnencodableCode(PgFailure.codeOf(error).code)

/** A character that the server cannot hold fails the statement: halves are sent, until each that fails is alone. */
const unencodable = (
  query: Query,
  characters: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  characters.length === 0
    ? Effect.succeed([])
    : query("SELECT pg_catalog.length($1::text) AS length", [characters.join("")]).pipe(
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

const charactersOf = (text: string): ReadonlyArray<string> => [...new Set(text)].filter((char) => nonAscii.test(char))

/** Those of the texts that have a character which the database's encoding cannot hold. */
export const unencodableOf = <A extends { readonly text: string }>(
  query: Query,
  texts: ReadonlyArray<A>
): Effect.Effect<ReadonlyArray<A>, SqlError> =>
  Effect.map(unencodable(query, [...new Set(texts.flatMap(({ text }) => charactersOf(text)))]), (missing) =>
    texts.filter(({ text }) => missing.some((char) => text.includes(char)))
  )

/**
 * A question about texts that a row has to equal: the answer is `nothing` if the database's encoding cannot hold one of
 * them. Any other failure stays.
 */
export const orNothing =
  <A>(nothing: A, texts: ReadonlyArray<string>, ask: (query: Query) => Effect.Effect<A, SqlError>) =>
  (query: Query): Effect.Effect<A, SqlError> =>
    Effect.catchIf(ask(query), isUnencodable, (error) =>
      Effect.flatMap(
        unencodableOf(
          query,
          texts.map((text) => ({ text }))
        ),
        (missing) => (missing.length > 0 ? Effect.succeed(nothing) : Effect.fail(error))
      )
    )

const encodable = Effect.fnUntraced(function* (
  query: Query,
  keys: ReadonlyArray<KeyName>,
  report: Report
): Effect.fn.Return<Encodable, SqlError> {
  const names = keys.map(({ key, namespace }, slot) => ({ slot, text: `${namespace}${key}` }))
  const leftOut = new Set((yield* unencodableOf(query, names)).map(({ slot }) => slot))
  const slots = [...keys.keys()].filter((slot) => !leftOut.has(slot))
  // It was a byte of a row, which the encoding leaves undefined, and no name.
  if (leftOut.size > 0) yield* report(keys.filter((_, slot) => leftOut.has(slot)))
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

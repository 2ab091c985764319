/**
 * How a table differs from what is known of it, asked for again and again on one session.
 *
 * ```
 *   rows above the highest revision seen, and the digest of all rows
 *          │ the digest is that of what is known with these rows in it  ──▶  nothing else differs
 *          │ it is another: a row is gone, was written with the triggers disabled, or committed late; or an undeclared one changed
 *          ▼
 *   all rows ──▶ compared here
 *          │ there are too many beside those of the keys
 *          ▼
 *   compared by the server, key by key: from then on always
 * ```
 *
 * The first of these is short in both directions, however many keys there are: what is sent and what comes back is no
 * more than what changed. It fetches the values of those keys that the caller heard of; if a key without a value turns
 * out to have changed, it is sent again with the name of that key. Each answer is one statement, and hence one state of
 * the table.
 */
import * as Effect from "effect/Effect"
import { memoize } from "effect/Function"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { KeyName } from "../../../schema/KeyName.ts"
import type { RowDiff } from "../../../schema/Snapshot.ts"
import type { Query, QueryEach } from "../../../services/Connector.ts"
import * as PgKeyDiff from "./PgKeyDiff.ts"
import * as PgNamespaceScan from "./PgNamespaceScan.ts"

type Known = ReadonlyArray<bigint | undefined>
type Differences = Effect.Effect<ReadonlyArray<RowDiff>, SqlError>

/** What was seen of the table beside the rows that the caller knows. */
interface Seen {
  /** The digest of the rows of undeclared keys. */
  readonly others: bigint
  /** The highest revision. */
  readonly revision: number
}

/** How all rows are read. */
export type Scan = typeof PgNamespaceScan.all

/** As `PgDiff.once`, one call at a time. */
export const make = (
  query: Query,
  queryEach: QueryEach = PgNamespaceScan.atOnce(query),
  scan: Scan = PgNamespaceScan.all
): ((keys: ReadonlyArray<KeyName>, known: Known, heard?: ReadonlyArray<KeyName>) => Differences) => {
  const differencesOf = memoize((keys: ReadonlyArray<KeyName>) => following(query, queryEach, keys, scan))
  return (keys, known, heard = []) => differencesOf(keys)(known, heard)
}

/** Rather than more names, all rows are asked for. */
const mostWanted = 1_000

const following = (
  query: Query,
  queryEach: QueryEach,
  keys: ReadonlyArray<KeyName>,
  scan: Scan
): ((known: Known, heard: ReadonlyArray<KeyName>) => Differences) => {
  const slotOf = PgNamespaceScan.slotsOf(keys)
  let seen: Seen | undefined
  let crowded = false

  const newer = (
    known: Known,
    { others, revision }: Seen,
    wanted: ReadonlyArray<KeyName>
  ): Effect.Effect<Option.Option<ReadonlyArray<RowDiff>>, SqlError> =>
    Effect.flatMap(PgNamespaceScan.newer(query, keys, revision, wanted), ({ digest, rows }) => {
      const declared = known.slice()
      for (const { row, slot } of rows) if (slot !== undefined) declared[slot] = row.fingerprint
      if ((PgNamespaceScan.digestOf(declared) ^ others) !== digest) return Effect.succeedNone
      const unfetched = PgNamespaceScan.unfetched(rows, known)
      if (unfetched.length > 0) {
        const more = [...wanted, ...unfetched]
        return more.length > mostWanted ? Effect.succeedNone : newer(known, { others, revision }, more)
      }
      seen = { others, revision: highest(rows, revision) }
      return Effect.succeedSome(PgNamespaceScan.changes(rows, known))
    })

  const all = (known: Known): Differences =>
    // A first load measures no propagation, so it needs no ages.
    Effect.flatMap(scan(queryEach, keys, { aged: seen !== undefined }), (found) => {
      crowded = Option.isNone(found)
      if (Option.isNone(found)) return PgKeyDiff.diff(query, keys, known)
      const rows = found.value
      seen = seenIn(rows)
      return Effect.succeed(PgNamespaceScan.diff(rows, known))
    })

  return (known, heard) => {
    if (keys.length === 0) return Effect.succeed([])
    if (crowded) return PgKeyDiff.diff(query, keys, known)
    const wanted = heard.filter((name) => slotOf(name) !== undefined)
    if (seen === undefined || wanted.length > mostWanted) return all(known)
    return Effect.flatMap(
      newer(known, seen, wanted),
      Option.match({ onNone: () => all(known), onSome: Effect.succeed<ReadonlyArray<RowDiff>> })
    )
  }
}

const seenIn = (rows: ReadonlyArray<PgNamespaceScan.NamedRow>): Seen => {
  let others = 0n
  for (const { row, slot } of rows) if (slot === undefined) others ^= row.fingerprint
  return { others, revision: highest(rows, 0) }
}

const highest = (rows: ReadonlyArray<PgNamespaceScan.NamedRow>, atLeast: number): number => {
  let revision = atLeast
  for (const { row } of rows) if (row.revision > revision) revision = row.revision
  return revision
}

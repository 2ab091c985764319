/**
 * How a table differs from what is known of it: which of the ways to find that out is taken.
 *
 * ```
 *   once, on a pooled client
 *     nothing is known, and there are many keys ──▶ all rows of their namespaces      PgNamespaceScan
 *     otherwise                                 ──▶ the server compares key by key    PgKeyDiff
 *   again and again, on one session
 *     first                                     ──▶ all rows, and whether there is a history
 *     ... the database has a history            ──▶ what was recorded since           PgCursorDiff
 *     ... it has none, or is a standby          ──▶ revisions and a digest            PgDigestDiff
 * ```
 *
 * Each answer is the whole difference, and of one state of the table.
 */
import * as Effect from "effect/Effect"
import { memoize } from "effect/Function"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { KeyName } from "../../../schema/KeyName.ts"
import type { RowDiff } from "../../../schema/Snapshot.ts"
import type { Query, QueryEach } from "../../../services/Connector.ts"
import * as MonotonicClock from "../../runtime/MonotonicClock.ts"
import * as PgCursorDiff from "./PgCursorDiff.ts"
import * as PgCursorRead from "./PgCursorRead.ts"
import * as PgDigestDiff from "./PgDigestDiff.ts"
import * as PgKeyDiff from "./PgKeyDiff.ts"
import * as PgNamespaceScan from "./PgNamespaceScan.ts"

type Known = ReadonlyArray<bigint | undefined>
type Diff = Effect.Effect<ReadonlyArray<RowDiff>, SqlError>

/** From how many keys on their rows are found by their namespaces: finding each by its name takes the server longer. */
const many = 32

/** How the table differs from what is known: see `EntryStore`. */
export const once = (query: Query, keys: ReadonlyArray<KeyName>, known: Known): Diff => {
  if (keys.length === 0) return Effect.succeed([])
  // If nothing is known, every row is a difference, and none has to be compared.
  const nothingKnown = known.every((fingerprint) => fingerprint === undefined)
  return nothingKnown && keys.length >= many
    ? Effect.flatMap(
        PgNamespaceScan.all(PgNamespaceScan.atOnce(query), keys, { aged: false }),
        Option.match({
          onNone: () => PgKeyDiff.diff(query, keys, known),
          onSome: (rows) => Effect.succeed(PgNamespaceScan.diff(rows, known))
        })
      )
    : PgKeyDiff.diff(query, keys, known)
}

export interface SessionDiff {
  /** As `once`, one call at a time. */
  readonly diff: (keys: ReadonlyArray<KeyName>, known: Known) => Diff
  /** When the whole table was last compared, by the monotonic clock; `undefined` if the last call did so. */
  readonly verifiedAt: () => number | undefined
  /** What notifications named: it is read by the next call. */
  readonly heard: (names: ReadonlyArray<KeyName>) => void
}

export interface SessionDiffOptions extends Pick<PgCursorDiff.CursorDiffOptions, "lasting"> {
  /** Runs when a verification finds rows that no record tells of. */
  readonly onMismatch?: (() => void) | undefined
  /** Runs when the size of the history was looked at: with a session's first read, and with each verification. */
  readonly onSize?: ((bytes: number) => void) | undefined
}

/** For a session that asks again and again. `queryEach` hands rows over as they arrive. */
export const onSession = (
  query: Query,
  queryEach: QueryEach | undefined,
  { lasting, onMismatch = () => {}, onSize = () => {} }: SessionDiffOptions
): SessionDiff => {
  let heard = new Map<string, KeyName>()
  let verifiedAt: number | undefined
  const takeHeard = () => {
    const names = heard
    heard = new Map()
    return names
  }
  const diffOf = memoize((keys: ReadonlyArray<KeyName>): ((known: Known) => Diff) => {
    /** Of a database with a history, and of one without: one of them once all rows were read. */
    let byCursor: PgCursorDiff.CursorDiff | undefined
    let byDigest: ReturnType<typeof PgDigestDiff.make> | undefined

    const whole = Effect.fnUntraced(function* (known: Known): Effect.fn.Return<ReadonlyArray<RowDiff>, SqlError> {
      takeHeard()
      byCursor = undefined
      verifiedAt = undefined
      let found: PgCursorRead.Scanned | undefined
      const scan = PgCursorRead.scan(queryEach !== undefined, (scanned) => {
        found = scanned
      })
      const readAt = yield* MonotonicClock.millis
      const digestDiff = PgDigestDiff.make(query, queryEach, scan)
      const diff = yield* digestDiff(keys, known)
      const scanned = found as PgCursorRead.Scanned | undefined
      if (scanned === undefined || !PgCursorDiff.isCursor(scanned)) {
        byDigest = digestDiff
        return diff
      }
      const shadow = known.slice()
      for (const { row, slot } of diff) shadow[slot] = row?.fingerprint
      byCursor = PgCursorDiff.make(query, keys, { ...scanned, shadow, readAt }, { lasting, onMismatch, onSize })
      if (scanned.place.bytes !== null) onSize(scanned.place.bytes)
      return diff
    })

    return (known) => {
      if (byDigest !== undefined) return byDigest(keys, known, [...takeHeard().values()])
      if (byCursor === undefined) return whole(known)
      const cursor = byCursor
      return Effect.flatMap(cursor.diff(known, takeHeard), (found) => {
        if (Option.isNone(found)) return whole(known)
        verifiedAt = cursor.verifiedAt()
        return Effect.succeed(found.value)
      })
    }
  })
  return {
    diff: (keys, known) => (keys.length === 0 ? Effect.succeed([]) : diffOf(keys)(known)),
    verifiedAt: () => verifiedAt,
    heard: (names) => {
      for (const name of names) if (heard.size <= PgCursorRead.mostKeys) heard.set(PgNamespaceScan.nameOf(name), name)
    }
  }
}

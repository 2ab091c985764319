/**
 * How a table differs from what is known of it, at the cost of what changed: for a session on a database with a
 * history, after its first read.
 *
 * ```
 *   first read ──▶ all rows by value, and the snapshot S of that very statement (the cursor)
 *   later      ──▶ the keys that transactions changed which S did not see, and those that notifications named,
 *                  joined to their rows in one statement, which returns the next cursor
 *   now and then ▶ the same statement with a digest of all fingerprints: equal, or all rows by value again
 * ```
 *
 * Invariants:
 *
 * 1. **`shadow` is the table as the cursor saw it.** A slot whose known row is another (a write of this process, a read
 *    whose result was not learned) is read by its name, so that an answer is always the whole difference.
 * 2. **A cursor is of the statement that read the rows**, or of an earlier one, never of a later one: a transaction
 *    that commits between the two would be lost.
 * 3. **A cursor is good for one session on one server.** On a standby, after a restart behind a pooler, or if
 *    transaction ids went back, all rows are read by value.
 * 4. **What no trigger recorded is found by its notification, or by verification**, which the first read after
 *    `lasting` makes. Until then an answer confirms what it does not name as of the last one (`verifiedAt`).
 * 5. **Every row that was taken is compared with its record by the next verification** (PgUnrecorded): all rows of the
 *    first read, and those that changed since.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { SqlError } from "effect/sql/SqlError"
import type { KeyName } from "../../../schema/KeyName.ts"
import type { RowDiff } from "../../../schema/Snapshot.ts"
import type { Query } from "../../../services/Connector.ts"
import * as MonotonicClock from "../../runtime/MonotonicClock.ts"
import * as PgRows from "../PgRows.ts"
import * as PgCursorRead from "./PgCursorRead.ts"
import * as PgNamespaceScan from "./PgNamespaceScan.ts"
import * as PgUnrecorded from "./PgUnrecorded.ts"

type Known = ReadonlyArray<bigint | undefined>

/** What a read of all rows found, from which a cursor goes on. */
export interface Start extends Omit<PgCursorRead.Scanned, "history"> {
  /** The fingerprint of each slot's row. */
  readonly shadow: Array<bigint | undefined>
  /** When the read began, by the monotonic clock. */
  readonly readAt: number
}

export interface CursorDiffOptions {
  /** How long a read of what changed is enough, in milliseconds: then the next one verifies the whole table. */
  readonly lasting: number
  /** Runs when a verification finds rows that no record tells of. */
  readonly onMismatch: () => void
  /** Runs when a verification looked at the size of the history. */
  readonly onSize: (bytes: number) => void
}

export interface CursorDiff {
  /** The difference from what is known and heard of; none if all rows have to be read. */
  readonly diff: (
    known: Known,
    takeHeard: () => Map<string, KeyName>
  ) => Effect.Effect<Option.Option<ReadonlyArray<RowDiff>>, SqlError>
  /** When the last read began that compared the whole table, by the monotonic clock. */
  readonly verifiedAt: () => number
}

/** Whether the place of a read may be the next cursor. */
export const isCursor = ({ history, place }: PgCursorRead.Scanned): boolean => history && !place.recovery

export const make = (
  query: Query,
  keys: ReadonlyArray<KeyName>,
  { others, readAt, shadow, ...start }: Start,
  { lasting, onMismatch, onSize }: CursorDiffOptions
): CursorDiff => {
  const { nameOf } = PgNamespaceScan
  const slotOf = PgNamespaceScan.slotsOf(keys)
  const isOurs = PgNamespaceScan.isNamespaceOf(keys)
  const unrecorded = PgUnrecorded.make(query, keys, onMismatch)
  let place = start.place
  let verifiedAt = readAt

  /** `names`: what has to be read beside what the history names. */
  const changed = (
    known: Known,
    names: Map<string, KeyName>,
    verify: boolean
  ): Effect.Effect<Option.Option<ReadonlyArray<RowDiff>>, SqlError> =>
    Effect.gen(function* () {
      for (const [slot, fingerprint] of known.entries()) {
        if (fingerprint !== shadow[slot]) names.set(nameOf(keys[slot]!), keys[slot]!)
      }
      if (names.size > PgCursorRead.mostKeys) return Option.none()
      const startedAt = yield* MonotonicClock.millis
      const asked = [...names.values()]
      const rows: ReadonlyArray<any> = yield* query(PgCursorRead.selectSince, [
        place.cursor,
        PgNamespaceScan.namespacesOf(keys),
        ...PgRows.namesOf(asked),
        verify,
        PgNamespaceScan.most(keys) + 1,
        PgRows.pathsOf(asked.filter((name) => slotOf(name) !== undefined))
      ])
      const decodedPlace = PgCursorRead.placeOf(rows[0])
      if (Result.isFailure(decodedPlace) || rows.length > PgCursorRead.mostKeys) return Option.none()
      const next = decodedPlace.success
      if (!PgCursorRead.isLater(next, place)) return Option.none()
      const { decoded, take } = PgNamespaceScan.decoder(keys)
      take(rows.filter((columns) => columns?.fingerprint != null))
      const named = yield* PgRows.unexpectedShape(decoded)
      const unfetched = PgNamespaceScan.unfetched(named, known)
      if (unfetched.length > 0) {
        // No notification has named them yet. Asked for anew, with their names: an answer is of one statement.
        for (const name of unfetched) names.set(nameOf(name), name)
        return yield* changed(known, names, verify)
      }
      const diff = learn(known, rows, named)
      if (verify) {
        const expected = PgNamespaceScan.digestOf(shadow) ^ PgNamespaceScan.digestOf(others!.values())
        if (expected !== (next.digest ?? 0n)) {
          onMismatch()
          return Option.none()
        }
        verifiedAt = startedAt
      }
      if (next.bytes !== null) onSize(next.bytes)
      place = next
      return Option.some(diff)
    })

  /** Keeps what an answer says, and returns how it differs from what is known. */
  const learn = (known: Known, rows: ReadonlyArray<any>, named: ReadonlyArray<PgNamespaceScan.NamedRow>) => {
    const present = named.values()
    const diff: Array<RowDiff> = []
    for (const columns of rows) {
      if (columns.key === null) continue
      const slot = slotOf(columns)
      unrecorded.took(columns)
      const found = columns.fingerprint === null ? undefined : present.next().value
      if (slot === undefined) {
        if (found === undefined) others?.delete(nameOf(columns))
        else if (isOurs(columns.namespace)) others?.set(nameOf(columns), found.row.fingerprint)
        continue
      }
      shadow[slot] = found?.row.fingerprint
      if (found?.row.fingerprint !== known[slot]) diff.push({ slot, row: found?.row, age: found?.age })
    }
    return diff
  }

  return {
    diff: (known, takeHeard) =>
      Effect.flatMap(MonotonicClock.millis, (now) => {
        const verify = now - verifiedAt >= lasting
        if (!verify) return changed(known, takeHeard(), false)
        return Effect.andThen(
          unrecorded.compare,
          others === undefined ? Effect.succeedNone : Effect.suspend(() => changed(known, takeHeard(), true))
        )
      }),
    verifiedAt: () => verifiedAt
  }
}

/**
 * How a table differs from what is known of it, at the cost of what changed: for a session on a database with a
 * history.
 *
 * ```
 *   first read ──▶ all rows by value, and the snapshot S of that very statement (the cursor)
 *   later      ──▶ the keys that transactions changed which S did not see, and those that notifications named,
 *                  joined to their rows in one statement, which returns the next cursor
 *   now and then ▶ the same statement with a digest of all row versions: equal, or all rows by value again
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
 * 4. **What no trigger recorded is found by its notification, or by verification**, which happens at least every
 *    `lasting`.
 * 5. **Every row that was taken is compared with its record by the next verification**: all rows of a session's first
 *    read, and those that changed since. So what was written without a record does not stay unrecorded because it was
 *    read before it was missed.
 *
 * Without a history it is `PgDigestDiff`.
 */
import * as Effect from "effect/Effect"
import { memoize } from "effect/Function"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { KeyName } from "../../../schema/KeyName.ts"
import type { RowDiff } from "../../../schema/Snapshot.ts"
import type { Query, QueryEach } from "../../../services/Connector.ts"
import * as MonotonicClock from "../../runtime/MonotonicClock.ts"
import * as PgRows from "../PgRows.ts"
import * as PgDigestDiff from "./PgDigestDiff.ts"
import * as PgNamespaceScan from "./PgNamespaceScan.ts"

type Known = ReadonlyArray<bigint | undefined>
type Diff = Effect.Effect<ReadonlyArray<RowDiff>, SqlError>

/** More changed keys than this are read as a whole. */
const mostKeys = 1_000

/** A hash of one version of a row: another one means that the row was written again. Good within one session. */
const version = "pg_catalog.hash_record_extended(ROW(e.xmin, e.namespace, e.key), 0)"

const place = `pg_current_snapshot()::text AS cursor, pg_is_in_recovery() AS recovery,
    (date_part('epoch', pg_postmaster_start_time()) * 1000000::float8)::int8::text AS started`

const historyBytes = "pg_total_relation_size(to_regclass('systemplane_history'))::float8"

/** Whether there is a history of ours beside the table, and this role may read it. */
const hasHistory = `EXISTS (
      SELECT FROM pg_class AS t
      JOIN pg_class AS c ON c.relnamespace = t.relnamespace AND c.relname = 'systemplane_history'
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'transaction_id' AND NOT a.attisdropped
      WHERE t.oid = to_regclass('systemplane_entries') AND c.oid = to_regclass('systemplane_history')
        AND has_table_privilege(c.oid, 'SELECT')
    )`

/**
 * All rows, and one without a name whose value says where the history is: a column of its own would have to be decoded
 * in all other rows as well. Without the last OFFSET the planner makes no hash table of the keys.
 */
const whole = (isWanted: string) => `
  SELECT NULL::text AS namespace, NULL::text AS key,
    pg_catalog.json_build_object('cursor', p.cursor, 'recovery', p.recovery, 'started', p.started,
      'history', ${hasHistory}, 'millis', (date_part('epoch', clock_timestamp()) * 1000::float8)::int8,
      'bytes', (${historyBytes})::int8)::text AS value,
    NULL::float8 AS revision, NULL::float8 AS seconds, NULL::text AS "updatedBy", NULL::int8 AS fingerprint,
    NULL::int8 AS version
  FROM (SELECT ${place}) AS p
  UNION ALL (
  SELECT e.namespace, e.key, ${PgRows.columnsOfPartsIf(isWanted)}, e.version
  FROM (
    SELECT e.namespace, e.key, e.value, e.revision, e.updated_at, e.updated_by, ${PgRows.partsColumns}, ${version} AS version
    FROM systemplane_entries AS e
    WHERE e.namespace IN (SELECT pg_catalog.unnest($1::text[])) AND ${PgRows.isStored}
    LIMIT $2
  ) AS e OFFSET 0)`

/**
 * It is streamed, and a stream is never prepared. Exported, as its neighbours, so that tests recognise it.
 */
export const selectWhole = whole(PgRows.isOneOfThese("$3"))

/** The same for a session that takes all rows at once, and may prepare what it is asked often. */
export const selectWholeAtOnce = whole(PgRows.isOneOf("$3"))

// The records also name keys that were not declared: values are fetched only for the names that are wanted.
//
// Both bounds of the transaction ids, LIMIT and LATERAL are for the planner: it takes one bound alone for a third of
// the table, LATERAL keeps it from hashing all entries, and LIMIT keeps the cost that it guesses below that of
// compiling the plan.
export const selectSince = `
  SELECT s.cursor, s.recovery, s.started, s.bytes, s.digest, k.namespace, k.key, e.*
  FROM (
    SELECT ${place},
      CASE WHEN $5 THEN ${historyBytes} END AS bytes,
      CASE WHEN $5 THEN (
        SELECT bit_xor(v.version) FROM (
          SELECT ${version} AS version FROM systemplane_entries AS e
          WHERE e.namespace = ANY ($2::text[]) AND ${PgRows.isStored} LIMIT $6
        ) AS v
      ) END AS digest
  ) AS s
  LEFT JOIN (
    SELECT h.namespace, h.key FROM systemplane_history AS h
    WHERE h.transaction_id >= pg_snapshot_xmax($1::pg_snapshot)
      AND h.transaction_id < pg_snapshot_xmax(pg_current_snapshot())
      AND h.namespace = ANY ($2::text[])
    UNION
    SELECT h.namespace, h.key FROM systemplane_history AS h
    WHERE h.transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
      AND h.namespace = ANY ($2::text[])
    UNION
    SELECT n.namespace, n.key FROM unnest($3::text[], $4::text[]) AS n (namespace, key)
    LIMIT ${mostKeys + 1}
  ) AS k ON true
  LEFT JOIN LATERAL (
    SELECT ${PgRows.columnsIf(PgRows.isOneOf("$7"))}, ${PgRows.age} AS age, ${version} AS version
    FROM systemplane_entries AS e
    WHERE e.namespace = k.namespace AND e.key = k.key AND ${PgRows.isStored} LIMIT 1
  ) AS e ON true`

/**
 * Whether a row differs from the last record of its key: among the rows of the namespaces and of these names. A secret
 * is compared by its revision. `LATERAL` is one look into an index for each key, however long the history is.
 */
export const selectUnrecorded = `
  SELECT EXISTS (
    SELECT FROM (
      (SELECT e.namespace, e.key FROM systemplane_entries AS e WHERE e.namespace = ANY ($1::text[]) LIMIT $2)
      UNION
      SELECT n.namespace, n.key FROM unnest($3::text[], $4::text[]) AS n (namespace, key)
    ) AS k
    LEFT JOIN LATERAL (
      SELECT e.revision, e.value FROM systemplane_entries AS e
      WHERE e.namespace = k.namespace AND e.key = k.key AND ${PgRows.isStored} LIMIT 1
    ) AS e ON true
    LEFT JOIN LATERAL (
      SELECT h.operation, h.revision, h.value, h.redacted FROM systemplane_history AS h
      WHERE h.namespace = k.namespace AND h.key = k.key ORDER BY h.id DESC LIMIT 1
    ) AS h ON true
    WHERE e.revision IS DISTINCT FROM CASE WHEN h.operation <> 'delete' THEN h.revision END
      OR e.revision IS NOT NULL AND h.redacted IS NOT TRUE AND e.value IS DISTINCT FROM h.value
  ) AS unrecorded`

const Unrecorded = Schema.NonEmptyArray(Schema.Struct({ unrecorded: Schema.Boolean }))
const decodeUnrecorded = Schema.decodeUnknownEffect(Unrecorded)

const Place = Schema.Struct({
  cursor: Schema.String.check(Schema.isPattern(/^\d+:\d+:[\d,]*$/)),
  recovery: Schema.Boolean,
  /** When the server started. */
  started: Schema.String,
  digest: Schema.optional(Schema.NullOr(Schema.BigInt)),
  bytes: Schema.NullOr(Schema.Number)
})
type Place = typeof Place.Type
const decodePlace = Schema.decodeUnknownResult(Place)

/** The value of the row that says where the history is. */
const WholePlace = Schema.fromJsonString(
  Schema.Struct({
    ...Place.fields,
    /** Whether the database has a history. */
    history: Schema.Boolean,
    /** The time, by the database's clock. */
    millis: Schema.Number
  })
)
const decodeWholePlace = Schema.decodeUnknownResult(WholePlace)

const xmaxOf = (cursor: string): bigint => BigInt(cursor.split(":")[1]!)

/** What a cursor saw. */
interface Seen {
  readonly place: Place
  /** The fingerprint of each slot's row. */
  readonly shadow: Array<bigint | undefined>
  /** The version of each slot's row; `undefined` if there are too many rows beside them to look at them all. */
  readonly versions: Array<bigint | undefined> | undefined
  /** The versions of the rows in the same namespaces that were not declared, by name. */
  readonly others: Map<string, bigint>
}

/** What a read of all rows saw beside the rows that the caller asked for. */
interface Scanned extends Omit<Seen, "shadow"> {
  readonly history: boolean
}

const nameOf = ({ key, namespace }: KeyName) => JSON.stringify([namespace, key])

/** Names as two parameters. */
const asSent = (names: ReadonlyArray<KeyName>) => [
  PgRows.arrayOf(names.map(({ namespace }) => namespace)),
  PgRows.arrayOf(names.map(({ key }) => key))
]

export interface CursorDiffOptions {
  /** How long a read of what changed is enough, in milliseconds: then the next one verifies the whole table. */
  readonly lasting: number
  /** Runs when a verification finds rows that no record tells of. */
  readonly onMismatch?: (() => void) | undefined
  /** Runs when the size of the history was looked at: with a session's first read, and with each verification. */
  readonly onSize?: ((bytes: number) => void) | undefined
}

export interface CursorDiff {
  /** As `PgDiff.diff`, one call at a time. */
  readonly diff: (keys: ReadonlyArray<KeyName>, known: Known) => Diff
  /** What notifications named: it is read by the next call. */
  readonly heard: (names: ReadonlyArray<KeyName>) => void
}

export const make = (
  query: Query,
  queryEach: QueryEach | undefined,
  { lasting, onMismatch = () => {}, onSize = () => {} }: CursorDiffOptions
): CursorDiff => {
  let heard = new Map<string, KeyName>()
  const diffOf = memoize((keys: ReadonlyArray<KeyName>) =>
    following(query, queryEach, keys, {
      lasting,
      onMismatch,
      onSize,
      takeHeard: () => {
        const names = heard
        heard = new Map()
        return names
      }
    })
  )
  return {
    diff: (keys, known) => (keys.length === 0 ? Effect.succeed([]) : diffOf(keys)(known)),
    heard: (names) => {
      for (const name of names) if (heard.size <= mostKeys) heard.set(nameOf(name), name)
    }
  }
}

const following = (
  query: Query,
  streaming: QueryEach | undefined,
  keys: ReadonlyArray<KeyName>,
  {
    lasting,
    onMismatch,
    onSize,
    takeHeard
  }: Required<{ readonly [K in keyof CursorDiffOptions]: NonNullable<CursorDiffOptions[K]> }> & {
    readonly takeHeard: () => Map<string, KeyName>
  }
): ((known: Known) => Diff) => {
  const slotOf = PgNamespaceScan.slotsOf(keys)
  const queryEach = streaming ?? PgNamespaceScan.atOnce(query)
  const selectAll = streaming === undefined ? selectWholeAtOnce : selectWhole
  let seen: Seen | undefined
  let verifiedAt = Number.NEGATIVE_INFINITY
  /** The names of rows that were taken and not yet compared with their records. */
  let unproven: Map<string, KeyName> | "all" = "all"
  /** Of a database without a history. */
  let digestDiff: ReturnType<typeof PgDigestDiff.make> | undefined
  let scanned: Scanned | undefined

  const scan: PgDigestDiff.Scan = (queryEach, keys, { aged }) =>
    Effect.suspend(() => {
      const limit = PgNamespaceScan.most(keys) + 1
      const { decoded, take } = PgNamespaceScan.decoder(keys)
      const versions: Array<bigint> = []
      let place: unknown
      let found = 0
      const each = (rows: ReadonlyArray<any>) => {
        const at = place === undefined ? rows.findIndex((columns) => columns?.namespace === null) : -1
        if (at >= 0) place = rows[at].value
        const present = at >= 0 ? rows.toSpliced(at, 1) : rows
        for (const { version } of present) versions.push(version)
        found += present.length
        take(present)
      }
      return queryEach(selectAll, [PgNamespaceScan.namespacesOf(keys), limit, PgRows.pathsOf(keys)], each).pipe(
        Effect.flatMap(() => decoded),
        Effect.map((rows) => {
          const decoded = decodeWholePlace(place)
          const whole = Result.isSuccess(decoded) ? decoded.success : undefined
          if (whole !== undefined) {
            const { history, millis, ...place } = whole
            scanned = { place, history, ...(found < limit ? versionsOf(rows, versions) : tooMany()) }
          }
          if (found >= limit) return Option.none()
          return Option.some(
            aged && whole !== undefined
              ? rows.map((named) => ({ ...named, age: (whole.millis - named.row.updatedAt) / 1000 }))
              : rows
          )
        }),
        PgRows.unexpectedShape
      )
    })

  const versionsOf = (rows: ReadonlyArray<PgNamespaceScan.NamedRow>, found: ReadonlyArray<bigint>) => {
    const versions: Array<bigint | undefined> = keys.map(() => undefined)
    const others = new Map<string, bigint>()
    for (const [i, { name, slot }] of rows.entries()) {
      if (slot === undefined) others.set(nameOf(name), found[i]!)
      else versions[slot] = found[i]
    }
    return { versions, others }
  }

  const tooMany = () => ({ versions: undefined, others: new Map<string, bigint>() })

  const whole = (known: Known): Diff =>
    Effect.gen(function* () {
      takeHeard()
      scanned = undefined
      seen = undefined
      digestDiff = PgDigestDiff.make(query, queryEach, scan)
      const startedAt = yield* MonotonicClock.millis
      const diff = yield* digestDiff(keys, known)
      const found = scanned as Scanned | undefined
      if (found?.history === true && !found.place.recovery) {
        const shadow = known.slice()
        for (const { row, slot } of diff) shadow[slot] = row?.fingerprint
        seen = { ...found, shadow }
        if (found.place.bytes !== null) onSize(found.place.bytes)
        unproven = "all"
        digestDiff = undefined
        verifiedAt = startedAt
      }
      return diff
    })

  const changed = (known: Known, seen: Seen, verify: boolean, asked?: Map<string, KeyName>): Diff =>
    Effect.gen(function* () {
      const names = asked ?? takeHeard()
      for (const [slot, fingerprint] of known.entries()) {
        if (fingerprint !== seen.shadow[slot]) names.set(nameOf(keys[slot]!), keys[slot]!)
      }
      if (names.size > mostKeys) return yield* whole(known)
      const startedAt = yield* MonotonicClock.millis
      const wanted = [...names.values()].filter((name) => slotOf(name) !== undefined)
      const rows: ReadonlyArray<any> = yield* query(selectSince, [
        seen.place.cursor,
        PgNamespaceScan.namespacesOf(keys),
        ...asSent([...names.values()]),
        verify,
        PgNamespaceScan.most(keys) + 1,
        PgRows.pathsOf(wanted)
      ])
      const place = decodePlace(rows[0])
      if (Result.isFailure(place) || !isLater(place.success, seen.place) || rows.length > mostKeys) {
        return yield* whole(known)
      }
      const { decoded, take } = PgNamespaceScan.decoder(keys)
      take(rows.filter((columns) => columns?.fingerprint != null))
      const named = yield* PgRows.unexpectedShape(decoded)
      const unfetched = PgNamespaceScan.unfetched(named, known)
      if (unfetched.length > 0) {
        // No notification has named them yet. Asked for anew, with their names: an answer is of one statement.
        for (const name of unfetched) names.set(nameOf(name), name)
        return yield* changed(known, seen, verify, names)
      }
      const present = named.values()
      const diff: Array<RowDiff> = []
      for (const columns of rows) {
        if (columns.key === null) continue
        const slot = slotOf(columns)
        prove(columns)
        const found = columns.fingerprint === null ? undefined : present.next().value
        if (slot === undefined) {
          if (found === undefined) seen.others.delete(nameOf(columns))
          else if (seen.versions !== undefined && isOfNamespaces(columns))
            seen.others.set(nameOf(columns), columns.version)
          continue
        }
        seen.shadow[slot] = found?.row.fingerprint
        if (seen.versions !== undefined) seen.versions[slot] = found === undefined ? undefined : columns.version
        if (found?.row.fingerprint !== known[slot]) diff.push({ slot, row: found?.row, age: found?.age })
      }
      if (verify) {
        const expected = PgNamespaceScan.digestOf(seen.versions!) ^ PgNamespaceScan.digestOf(seen.others.values())
        if (expected !== (place.success.digest ?? 0n)) {
          onMismatch()
          return yield* whole(known)
        }
        verifiedAt = startedAt
      }
      if (place.success.bytes !== null) onSize(place.success.bytes)
      advance({ ...seen, place: place.success })
      return diff
    })

  const prove = ({ key, namespace }: KeyName) => {
    if (unproven === "all") return
    unproven.set(nameOf({ namespace, key }), { namespace, key })
    if (unproven.size > mostKeys) unproven = "all"
  }

  /** Compares what was taken since the last verification with its records. */
  const proven = Effect.suspend((): Effect.Effect<void, SqlError> => {
    const names = unproven
    unproven = new Map()
    if (names !== "all" && names.size === 0) return Effect.void
    return query(selectUnrecorded, [
      names === "all" ? PgNamespaceScan.namespacesOf(keys) : "{}",
      PgNamespaceScan.most(keys) + 1,
      ...(names === "all" ? PgRows.namesOf(keys) : asSent([...names.values()]))
    ]).pipe(
      Effect.flatMap(decodeUnrecorded),
      Effect.flatMap(([{ unrecorded }]) => (unrecorded ? Effect.sync(onMismatch) : Effect.void)),
      PgRows.unexpectedShape,
      Effect.onError(() =>
        Effect.sync(() => {
          unproven = "all"
        })
      )
    )
  })

  const namespaces = new Set(keys.map(({ namespace }) => namespace))
  const isOfNamespaces = ({ namespace }: KeyName) => namespaces.has(namespace)
  const advance = (next: Seen) => {
    seen = next
  }

  return (known) => {
    if (digestDiff !== undefined) return digestDiff(keys, known, [...takeHeard().values()])
    if (seen === undefined) return whole(known)
    const current = seen
    return Effect.flatMap(MonotonicClock.millis, (now) => {
      const verify = now - verifiedAt >= lasting
      if (!verify) return changed(known, current, false)
      return Effect.andThen(proven, current.versions === undefined ? whole(known) : changed(known, current, true))
    })
  }
}

/** Whether a cursor may follow another: the same server, not a standby, and no transaction id went back. */
const isLater = (place: Place, before: Place): boolean =>
  !place.recovery && place.started === before.started && xmaxOf(place.cursor) >= xmaxOf(before.cursor)

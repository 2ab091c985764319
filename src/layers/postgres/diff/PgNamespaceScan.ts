/**
 * Rows found by the namespaces of keys, if these hold few others. Of a row that was not declared only its name, its
 * revision and its fingerprint are fetched, so that its coming and going can be told: never its value.
 */
import * as Effect from "effect/Effect"
import { memoize } from "effect/Function"
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { EntryRow } from "../../../schema/EntryRow.ts"
import type { KeyName } from "../../../schema/KeyName.ts"
import type { RowDiff } from "../../../schema/Snapshot.ts"
import type { Query, QueryEach } from "../../../services/Connector.ts"
import * as PgRows from "../PgRows.ts"

/** A row, and the slot of its key; `undefined` if it was not declared. */
export interface NamedRow {
  readonly slot: number | undefined
  readonly name: KeyName
  readonly row: EntryRow
  /** How long ago it was written, in seconds by the database's clock; if that was asked for. */
  readonly age: number | undefined
}

/** Hands all rows over at once, if nothing does as they arrive. */
export const atOnce =
  (query: Query): QueryEach =>
  (sql, params, take) =>
    Effect.map(query(sql, params), take)

type SlotsByName = ReadonlyMap<string, ReadonlyMap<string, number>>

/** Made once for keys, since they are the same for every read, and for every tenant. */
const slotsByName = memoize((keys: ReadonlyArray<KeyName>): SlotsByName => {
  const slots = new Map<string, Map<string, number>>()
  for (const [slot, { key, namespace }] of keys.entries()) {
    const inNamespace = slots.get(namespace) ?? new Map<string, number>()
    slots.set(namespace, inNamespace.set(key, slot))
  }
  return slots
})

/**
 * Finds the slots of names. Rows mostly lie in the order in which their keys are declared, as they were seeded: so the
 * one after the last is tried first.
 */
const slotFinder = (keys: ReadonlyArray<KeyName>) => {
  let next = 0
  return ({ key, namespace }: KeyName): number | undefined => {
    const guess = keys[next]
    const slot = guess?.key === key && guess.namespace === namespace ? next : slotsByName(keys).get(namespace)?.get(key)
    if (slot !== undefined) next = slot + 1
    return slot
  }
}

/** Finds the slot of a name; `undefined` if it was not declared. */
export const slotsOf =
  (keys: ReadonlyArray<KeyName>) =>
  ({ key, namespace }: KeyName): number | undefined =>
    slotsByName(keys).get(namespace)?.get(key)

/** Whether a namespace is that of one of these keys. */
export const isNamespaceOf =
  (keys: ReadonlyArray<KeyName>) =>
  (namespace: string): boolean =>
    slotsByName(keys).has(namespace)

/** A name as a key of a map. */
export const nameOf = ({ key, namespace }: KeyName): string => JSON.stringify([namespace, key])

/** The namespaces of keys as they are sent. */
export const namespacesOf = memoize((keys: ReadonlyArray<KeyName>) => {
  const namespaces = new Set<string>()
  // Keys of a namespace mostly follow one another.
  let last: string | undefined
  for (const { namespace } of keys) {
    if (namespace !== last) namespaces.add(namespace)
    last = namespace
  }
  return PgRows.arrayOf([...namespaces])
})

/** Makes what reads of these keys need of their names alone, and remembers it. */
export const remember = (keys: ReadonlyArray<KeyName>): void => {
  slotsByName(keys)
  namespacesOf(keys)
  PgRows.pathsOf(keys)
}

const Named = Schema.Struct({
  namespace: Schema.String,
  key: Schema.String,
  age: Schema.optional(Schema.NullOr(Schema.Finite))
})
const decodeNamed = Schema.decodeUnknownResult(Named)

/** Decodes rows as they are taken, and finds their slots. Fails if two rows are of one slot. */
export const decoder = (keys: ReadonlyArray<KeyName>) => {
  const slotOf = slotFinder(keys)
  const isNamed = (columns: any): columns is typeof Named.Type =>
    typeof columns?.namespace === "string" &&
    typeof columns.key === "string" &&
    (columns.age === undefined || columns.age === null || Number.isFinite(columns.age))
  const taken = new Uint8Array(keys.length)
  let twice = false
  const namedRow = (named: typeof Named.Type, row: EntryRow): NamedRow => {
    const slot = slotOf(named)
    if (slot !== undefined) {
      twice ||= taken[slot] === 1
      taken[slot] = 1
    }
    return { slot, name: named, row, age: named.age ?? undefined }
  }
  const { decoded, take } = PgRows.decoder(
    (columns): NamedRow | undefined => {
      const row = PgRows.byShape(columns)
      return row !== undefined && isNamed(columns) ? namedRow(columns, row) : undefined
    },
    (columns) =>
      Result.flatMap(decodeNamed(columns), (named) =>
        Result.map(PgRows.bySchema(columns), (row) => namedRow(named, row))
      )
  )
  return {
    take,
    decoded: Effect.flatMap(decoded, (rows) => (twice ? PgRows.nameTwice : Effect.succeed(rows)))
  }
}

/** How many rows the namespaces of keys may hold: above it they are not looked at as a whole. */
export const most = (keys: ReadonlyArray<KeyName>) => 2 * keys.length + 64

const selectAll = (age: string) => `
  SELECT e.namespace, e.key, ${PgRows.columnsIf(PgRows.isOneOf("$3"))}${age}
  FROM systemplane_entries AS e
  WHERE e.namespace = ANY (ARRAY(SELECT pg_catalog.unnest($1::text[]))) AND ${PgRows.isStored}
  LIMIT $2`

/** The statement of `all` with ages. Exported, like its neighbours below, so that tests recognise it by identity. */
export const selectAllAged = selectAll(`, ${PgRows.age} AS age`)
export const selectAllAgeless = selectAll("")

/** All rows in the namespaces of these keys, and their ages if wanted; `None` if they hold too many. */
export const all = (
  queryEach: QueryEach,
  keys: ReadonlyArray<KeyName>,
  { aged }: { readonly aged: boolean }
): Effect.Effect<Option.Option<ReadonlyArray<NamedRow>>, SqlError> =>
  Effect.suspend(() => {
    const limit = most(keys) + 1
    const { decoded, take } = decoder(keys)
    let found = 0
    const count = (rows: ReadonlyArray<unknown>) => {
      found += rows.length
      take(rows)
    }
    return queryEach(
      aged ? selectAllAged : selectAllAgeless,
      [namespacesOf(keys), limit, PgRows.pathsOf(keys)],
      count
    ).pipe(
      Effect.flatMap(() => (found < limit ? Effect.asSome(decoded) : Effect.succeedNone)),
      PgRows.unexpectedShape
    )
  })

/**
 * The digest of no rows is `NULL`, and so are the columns of a row if none is newer. The names of all keys would be far
 * more than what changed: the values of those are fetched that are named as wanted.
 */
export const selectNewer = `
  SELECT t.digest, e.namespace, e.key, ${PgRows.columnsIf(PgRows.isOneOf("$4"))}, ${PgRows.age} AS age
  FROM (
    SELECT pg_catalog.bit_xor(h.fingerprint) AS digest
    FROM (
      SELECT ${PgRows.fingerprint} AS fingerprint
      FROM systemplane_entries AS e
      WHERE e.namespace = ANY($1::text[]) AND ${PgRows.isStored}
      LIMIT $2
    ) AS h
  ) AS t
  LEFT JOIN systemplane_entries AS e ON e.namespace = ANY($1::text[]) AND e.revision > $3 AND ${PgRows.isStored}
  LIMIT $2`

const Digest = Schema.Struct({ digest: Schema.NullOr(Schema.BigInt) })
const decodeDigest = PgRows.decodeAll(
  (columns) => (typeof columns?.digest === "bigint" ? columns.digest : undefined),
  (columns) => Result.map(Schema.decodeUnknownResult(Digest)(columns), ({ digest }) => digest ?? 0n)
)

export interface Newer {
  /** The rows above the revision. */
  readonly rows: ReadonlyArray<NamedRow>
  /** The digest of all rows in these namespaces, newer or not; of some of them if they hold too many. */
  readonly digest: bigint
}

/** The rows in the namespaces of these keys that are above a revision, and a digest of all of them. */
export const newer = (
  query: Query,
  keys: ReadonlyArray<KeyName>,
  revision: number,
  wanted: ReadonlyArray<KeyName>
): Effect.Effect<Newer, SqlError> =>
  query(selectNewer, [namespacesOf(keys), most(keys) + 1, BigInt(revision), PgRows.pathsOf(wanted)]).pipe(
    Effect.flatMap((found) => {
      const { decoded, take } = decoder(keys)
      take(found.filter((columns: any) => columns?.namespace !== null))
      return Effect.zipWith(decodeDigest(found.slice(0, 1)), decoded, ([digest = 0n], rows) => ({ rows, digest }))
    }),
    PgRows.unexpectedShape
  )

/**
 * Those of the rows whose values have to be fetched: they are declared, are not what is known, and came without a
 * value.
 */
export const unfetched = (
  rows: ReadonlyArray<NamedRow>,
  known: ReadonlyArray<bigint | undefined>
): ReadonlyArray<KeyName> =>
  rows
    .filter(({ row, slot }) => slot !== undefined && row.fingerprint !== known[slot] && !PgRows.isFetched(row))
    .map(({ name }) => name)

/**
 * Fingerprints of rows as one number: equal sets have equal digests, and different ones the same once in 10^19. A row
 * more or less changes it by its own fingerprint.
 */
export const digestOf = (fingerprints: Iterable<bigint | undefined>): bigint => {
  let digest = 0n
  for (const fingerprint of fingerprints) if (fingerprint !== undefined) digest ^= fingerprint
  return digest
}

/** How all rows of these keys differ from what is known. */
export const diff = (
  rows: ReadonlyArray<NamedRow>,
  known: ReadonlyArray<bigint | undefined>
): ReadonlyArray<RowDiff> => {
  const found = changes(rows, known)
  const gone = known.slice()
  for (const { slot } of rows) if (slot !== undefined) gone[slot] = undefined
  for (let slot = 0; slot < gone.length; slot++) if (gone[slot] !== undefined) found.push({ slot, row: undefined })
  return found
}

const isDeclared = (named: NamedRow): named is NamedRow & { readonly slot: number } => named.slot !== undefined

/** Those of the rows that are not known; of undeclared keys none. */
export const changes = (rows: ReadonlyArray<NamedRow>, known: ReadonlyArray<bigint | undefined>): Array<RowDiff> => {
  const found: Array<RowDiff> = []
  for (const named of rows) if (isDeclared(named) && named.row.fingerprint !== known[named.slot]) found.push(named)
  return found
}

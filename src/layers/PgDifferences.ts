/**
 * How a table differs from what is known of it: one statement, and hence one state of the table.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import * as EntryRow from "../schema/EntryRow.ts"
import type { Difference } from "../schema/Snapshot.ts"
import type { Query } from "../services/Connector.ts"
import type { KeyName } from "../services/EntryStore.ts"
import * as PgRows from "./PgRows.ts"

/** The columns of a difference beside those of its row, which are all `NULL` where there is none. */
const Place = Schema.Struct({ slot: Schema.Int, age: Schema.NullOr(Schema.Finite) })
const decodePlace = Schema.decodeUnknownResult(Place)

const byShape = (columns: any): Difference | undefined => {
  const row = EntryRow.byShape(columns)
  const { age, slot } = columns
  return row !== undefined && Number.isSafeInteger(slot) && Number.isFinite(age) ? { slot, row, age } : undefined
}

const bySchema = (columns: any): Result.Result<Difference, Schema.SchemaError> => {
  const place = decodePlace(columns)
  if (Result.isFailure(place)) return Result.fail(place.failure)
  const { age, slot } = place.success
  if (columns.fingerprint === null) return Result.succeed({ slot, row: undefined })
  return Result.map(EntryRow.bySchema(columns), (row) => ({ slot, row, age: age ?? undefined }))
}

const decodeDifferences = PgRows.decodeAll(byShape, bySchema)

/** Makes something of keys once: they are the same for every read, and for every tenant. */
const onceFor = <A>(make: (keys: ReadonlyArray<KeyName>) => A): ((keys: ReadonlyArray<KeyName>) => A) => {
  const made = new WeakMap<ReadonlyArray<KeyName>, { readonly of: A }>()
  return (keys) => {
    const known = made.get(keys)
    if (known !== undefined) return known.of
    const of = make(keys)
    made.set(keys, { of })
    return of
  }
}

/** An array as PostgreSQL reads it. */
const arrayOf = (texts: ReadonlyArray<string>): string =>
  `{${texts.map((text) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`).join(",")}}`

/** The names of keys as they are sent. */
const namesOf = onceFor((keys): readonly [namespaces: string, keys: string] => [
  arrayOf(keys.map((key) => key.namespace)),
  arrayOf(keys.map((key) => key.key))
])

/**
 * Each `OFFSET 0` keeps the planner from merging two levels: the arrays are read once, not once for each element, and each row
 * is hashed once, and only if it is asked for.
 */
const selectDifferences = `
  SELECT e.slot, ${PgRows.columnsWith("e.fingerprint")}, date_part('epoch', clock_timestamp() - ${PgRows.updatedAt}) AS age
  FROM (
    SELECT k.slot, k.known, e.value, e.revision, e.updated_at, e.updated_by,
           CASE WHEN e.namespace IS NOT NULL THEN ${PgRows.fingerprint} END AS fingerprint
    FROM (
      SELECT generate_subscripts(sent.namespaces, 1) - 1 AS slot,
             unnest(sent.namespaces) AS namespace, unnest(sent.keys) AS key, unnest(sent.known) AS known
      FROM (SELECT $1::text[] AS namespaces, $2::text[] AS keys, $3::int8[] AS known OFFSET 0) AS sent
      OFFSET 0
    ) AS k
    LEFT JOIN systemplane_entries AS e ON e.namespace = k.namespace AND e.key = k.key
    OFFSET 0
  ) AS e
  WHERE e.fingerprint IS DISTINCT FROM e.known`

/** How the table differs from what is known: see `EntryStore`. */
export const differences = (
  query: Query,
  keys: ReadonlyArray<KeyName>,
  known: ReadonlyArray<bigint | undefined>
): Effect.Effect<ReadonlyArray<Difference>, SqlError> => {
  if (keys.length === 0) return Effect.succeed([])
  const nothingKnown = known.every((fingerprint) => fingerprint === undefined)
  return nothingKnown && keys.length >= many
    ? Effect.flatMap(
        scan(query, keys),
        Option.match({ onNone: () => compare(query, keys, known), onSome: Effect.succeed })
      )
    : compare(query, keys, known)
}

const compare = (query: Query, keys: ReadonlyArray<KeyName>, known: ReadonlyArray<bigint | undefined>) => {
  // As text: the driver cannot tell the type of an array that holds nothing but NULL.
  const fingerprints = `{${known.map((fingerprint) => fingerprint ?? "NULL").join(",")}}`
  return query(selectDifferences, [...namesOf(keys), fingerprints]).pipe(
    Effect.flatMap(decodeDifferences),
    PgRows.unexpectedShape
  )
}

/** From how many keys on their rows are found by their namespaces: finding each by its name takes the server longer. */
const many = 32

/** Where nothing is known, every row is a difference, and none has to be compared. */
const selectAll = `
  SELECT e.namespace, e.key, ${PgRows.columns}
  FROM systemplane_entries AS e
  WHERE e.namespace IN (SELECT unnest($1::text[]))
  LIMIT $2`

const Name = Schema.Struct({ namespace: Schema.String, key: Schema.String })
const decodeName = Schema.decodeUnknownEffect(Name)

type SlotsByName = ReadonlyMap<string, ReadonlyMap<string, number>>

/** The slots of keys by their names. */
const slotsOf = onceFor((keys): SlotsByName => {
  const slots = new Map<string, Map<string, number>>()
  for (const [slot, { key, namespace }] of keys.entries()) {
    const inNamespace = slots.get(namespace) ?? new Map<string, number>()
    slots.set(namespace, inNamespace.set(key, slot))
  }
  return slots
})

/** The rows of these keys, where their namespaces hold few others; `None` where that is not so. */
const scan = (
  query: Query,
  keys: ReadonlyArray<KeyName>
): Effect.Effect<Option.Option<ReadonlyArray<Difference>>, SqlError> => {
  const slots = slotsOf(keys)
  const limit = 2 * keys.length
  return query(selectAll, [[...slots.keys()], limit]).pipe(
    Effect.flatMap((rows) => (rows.length < limit ? Effect.asSome(decodeScanned(rows, slots)) : Effect.succeedNone)),
    PgRows.unexpectedShape
  )
}

const decodeScanned = (rows: ReadonlyArray<any>, slots: SlotsByName) =>
  Effect.gen(function* () {
    const found: Array<number> = []
    const declared: Array<unknown> = []
    for (const row of rows) {
      const { key, namespace } = isNamed(row) ? row : yield* decodeName(row)
      const slot = slots.get(namespace)?.get(key)
      if (slot === undefined) continue
      found.push(slot)
      declared.push(row)
    }
    const decoded = yield* PgRows.decodeRows(declared)
    return decoded.map((row, i): Difference => ({ slot: found[i]!, row }))
  })

const isNamed = (row: any): row is typeof Name.Type => typeof row?.namespace === "string" && typeof row.key === "string"

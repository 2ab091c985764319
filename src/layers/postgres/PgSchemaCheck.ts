/**
 * One cheap statement that tells whether a tenant's database is prepared.
 *
 * The server answers with the facts of its catalogue and their digest. The facts are left out if this process has found
 * a database with the same digest in order before, so that all tenants but the first are recognised by a digest. What
 * cannot be told for certain counts as not prepared, and `ensure` or `verify` (PgSchemaBootstrap) looks for it.
 *
 * What counts as in order is PgSchemaFindings. While a tenant is live, PgSchemaWatch asks again.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import * as Ddl from "../../schema/Ddl.ts"
import type { DdlObject } from "../../schema/DdlObjects.ts"
import type { Query } from "../../services/Connector.ts"
import type { Seed } from "../../services/KeyRegistry.ts"
import * as PgCatalog from "./PgCatalog.ts"
import * as PgRows from "./PgRows.ts"
import * as PgSchemaFindings from "./PgSchemaFindings.ts"

const atSchema = PgCatalog.glance("true")

/** Waits for a transaction that holds the table for itself, as seeding does. */
const atSchemaAndSeeds = PgCatalog.glance(`
  NOT EXISTS (
    SELECT FROM unnest($2::text[], $3::text[]) AS s (namespace, key)
    WHERE NOT EXISTS (SELECT FROM systemplane_entries AS e WHERE e.namespace = s.namespace AND e.key = s.key)
  )`)

/** Exported, as its neighbours elsewhere, so that tests recognise it. */
export const selectDigest = PgCatalog.glimpse

const Rows = Schema.Array(
  Schema.Struct({
    schema: Schema.String,
    digest: Schema.String,
    permitted: Schema.Boolean,
    facts: Schema.NullOr(PgCatalog.Facts),
    ahead: Schema.Boolean,
    seeded: Schema.Boolean
  })
)
const decodeRows = Schema.decodeUnknownEffect(Rows)

const everything = Ddl.objects(true)

/**
 * Digests of catalogues that were found in order, for each set of objects. Their number is that of the kinds of
 * databases.
 */
const inOrder = new WeakMap<ReadonlyArray<DdlObject>, Set<string>>()

const knownFor = (objects: ReadonlyArray<DdlObject>): Set<string> => {
  const known = inOrder.get(objects) ?? new Set<string>()
  inOrder.set(objects, known)
  if (known.size > 1000) known.clear()
  return known
}

/**
 * Of the catalogue's rows about our objects, of this role's rights, and of what it may see: equal as long as nothing
 * changes.
 */
export const digest = (query: Query): Effect.Effect<string, SqlError> =>
  Effect.map(query(selectDigest, []), ([found]: ReadonlyArray<any>) => String(found?.digest))

/**
 * Whether everything is there, is as it should be, and may be used; each of these defaults too. `false` also if that
 * cannot be told.
 */
export const findsEverything = (
  query: Query,
  seeds: ReadonlyArray<Seed>,
  objects: ReadonlyArray<DdlObject> = everything
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const known = knownFor(objects)
    const digests = PgRows.arrayOf([...known])
    return seeds.length === 0
      ? query(atSchema, [digests])
      : query(atSchemaAndSeeds, [digests, ...PgRows.namesOf(seeds)])
  }).pipe(
    Effect.flatMap(decodeRows),
    Effect.map(([found]) => {
      if (found === undefined || !found.permitted || !found.seeded || !found.ahead) return false
      const { facts } = found
      if (facts === null) return true
      // The records are not looked at: the first write does, before it draws a revision.
      if (facts.unsuitable.length > 0) return false
      if (PgSchemaFindings.findings(objects, { ...found, facts, aheadOfHistory: true }).length > 0) return false
      knownFor(objects).add(found.digest)
      return true
    }),
    Effect.orElseSucceed(() => false)
  )

/**
 * One cheap statement that tells whether a tenant's database is prepared.
 *
 * The server answers with a digest of its catalogue. If this process has found a database with the same digest in order
 * before, that is all, so that all tenants but the first are recognised by a digest. Otherwise the facts are asked for.
 * What cannot be told for certain counts as not prepared, and `ensure` or `verify` (PgSchemaBootstrap) looks for it.
 *
 * What counts as in order is PgSchemaFindings. While a tenant is live, PgSchemaWatch asks again.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import * as Ddl from "../../../schema/ddl/Ddl.ts"
import type { DdlObject } from "../../../schema/ddl/DdlObjects.ts"
import type { Query } from "../../../services/Connector.ts"
import type { Seed } from "../../../services/KeyRegistry.ts"
import * as PgRows from "../PgRows.ts"
import * as KnownDigests from "./KnownDigests.ts"
import * as PgCatalog from "./PgCatalog.ts"
import * as PgCatalogDigest from "./PgCatalogDigest.ts"
import * as PgSchemaFindings from "./PgSchemaFindings.ts"

const atSchema = PgCatalogDigest.glance("true")

/** Waits for a transaction that holds the table for itself, as seeding does. */
const atSchemaAndSeeds = PgCatalogDigest.glance(`
  NOT EXISTS (
    SELECT FROM unnest($1::text[], $2::text[]) AS s (namespace, key)
    WHERE NOT EXISTS (SELECT FROM systemplane_entries AS e WHERE e.namespace = s.namespace AND e.key = s.key)
  )`)

const Glance = Schema.Struct({
  digest: Schema.NullOr(Schema.String),
  permitted: Schema.Boolean,
  ahead: Schema.Boolean,
  seeded: Schema.Boolean
})
const decodeGlance = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Glance))

const InFull = Schema.Struct({
  schema: Schema.String,
  digest: Schema.NullOr(Schema.String),
  facts: PgCatalog.Facts
})
const decodeInFull = Schema.decodeUnknownEffect(Schema.NonEmptyArray(InFull))

const everything = Ddl.objects(true)

/** Digests of catalogues that were found in order, for each set of objects. */
const inOrder = KnownDigests.make<ReadonlyArray<DdlObject>, string>()

/**
 * Of the catalogue's rows about our objects, of this role's rights, and of what it may see: equal as long as nothing
 * changes.
 */
export const digest = (query: Query): Effect.Effect<string, SqlError> =>
  Effect.map(query(PgCatalogDigest.glimpse, []), ([found]: ReadonlyArray<any>) => String(found?.digest))

const foundInOrder = new WeakSet<Query>()

/** Whether this session found everything as it should be. */
export const wereFoundInOrder = (query: Query): boolean => foundInOrder.has(query)

const nothing: ReadonlyArray<PgSchemaFindings.Finding> = []

/**
 * What is not as it should be, of a database with this digest; `undefined` if its table cannot be served. If nothing is
 * found, the digest is known from then on.
 */
const findings = (query: Query, objects: ReadonlyArray<DdlObject>, glanced: string | null) =>
  inOrder(objects).has(glanced)
    ? Effect.succeed(nothing)
    : query(PgCatalog.inFull, []).pipe(
        Effect.flatMap(decodeInFull),
        Effect.map(([{ digest, facts, schema }]) => {
          if (facts.unsuitable.length > 0 || PgCatalog.holdsManyTenants(facts)) return undefined
          // The rows were looked at. The records are not: the first write does, before it draws a revision.
          const found = PgSchemaFindings.findings(objects, { facts, schema, ahead: true, aheadOfHistory: true })
          if (found.length === 0) inOrder(objects).add(digest)
          return found
        })
      )

/** Whether nothing is found for which `verify` refuses a database. `false` also if that cannot be told. */
export const losesNothing = (query: Query, objects: ReadonlyArray<DdlObject>): Effect.Effect<boolean> =>
  query(atSchema, []).pipe(
    Effect.flatMap(decodeGlance),
    Effect.flatMap(([{ digest }]) => findings(query, objects, digest)),
    Effect.map((found) => found?.every(({ loses }) => !loses) === true),
    Effect.orElseSucceed(() => false)
  )

/**
 * Whether everything is there, is as it should be, and may be used; each of these defaults too. `false` also if that
 * cannot be told.
 */
export const findsEverything = (
  query: Query,
  seeds: ReadonlyArray<Seed>,
  objects: ReadonlyArray<DdlObject> = everything
): Effect.Effect<boolean> =>
  (seeds.length === 0 ? query(atSchema, []) : query(atSchemaAndSeeds, PgRows.namesOf(seeds))).pipe(
    Effect.flatMap(decodeGlance),
    Effect.flatMap(([{ ahead, digest, permitted, seeded }]) => {
      if (!permitted || !seeded || !ahead) return Effect.succeed(false)
      return Effect.map(findings(query, objects, digest), (found) => found?.length === 0)
    }),
    Effect.tap((inOrder) => Effect.sync(() => inOrder && foundInOrder.add(query))),
    Effect.orElseSucceed(() => false)
  )

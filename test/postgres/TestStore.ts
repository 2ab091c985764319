/** The services on PostgreSQL one by one, below the plane. */
import { Effect, Layer } from "effect"
import { type Connector, type EntryStore, PgConnector, type SchemaBootstrap, TenantId } from "effect-systemplane"
import * as PgDatabases from "../../src/layers/postgres/PgDatabases.ts"
import * as PgEntryStore from "../../src/layers/postgres/PgEntryStore.ts"
import * as PgSchemaBootstrap from "../../src/layers/postgres/PgSchemaBootstrap.ts"
import { limiter } from "../support/limiter.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

/** The tenant, if there is one. */
export const acme = TenantId.make("acme")

/** What a plane over this connector has of its own; each call makes another. */
export const over = <R>(
  connector: Layer.Layer<Connector, never, R>
): Layer.Layer<EntryStore | SchemaBootstrap | Connector, never, R> =>
  Layer.mergeAll(PgEntryStore.layer, PgSchemaBootstrap.layer({ followed: false })).pipe(
    Layer.provide(PgDatabases.layer),
    Layer.provide(limiter()),
    Layer.provideMerge(connector),
    Layer.provide(TestPlane.silent)
  )

/** The same over a fixed set of tenants. */
export const layer = (targets: Readonly<Record<string, PgConnector.PgTarget>>) => over(PgConnector.layerRecord(targets))

/** Runs a test on a new, empty database, which is tenant `acme`'s. */
export const onEmptyDatabase = <A, E>(
  test: (database: TestDatabase.TestDatabase) => Effect.Effect<A, E, EntryStore | SchemaBootstrap>
) =>
  Effect.gen(function* () {
    const database = yield* TestDatabase.make
    return yield* Effect.provide(test(database), layer({ acme: database }))
  }).pipe(Effect.scoped)

/** The plane as tests compose it: on real databases, with the clock of the test, and silent. */
import { Effect, Layer, References } from "effect"
import { type Connector, PgConnector, SystemplaneLive, withTenant } from "effect-systemplane"
import * as keys from "./keys.ts"
import * as TestDatabase from "./TestDatabase.ts"

type Options = Partial<Parameters<typeof SystemplaneLive>[0]>

export const silent = Layer.succeed(References.MinimumLogLevel, "None")

/** This plane over these databases. */
export const over = <A, E>(
  databases: Readonly<Record<string, TestDatabase.TestDatabase>>,
  plane: Layer.Layer<A, E, Connector>
) =>
  Layer.provide(
    plane,
    PgConnector.layerRecord(
      Object.fromEntries(Object.entries(databases).map(([tenant, database]) => [tenant, { url: database.url }]))
    )
  )

/** A plane over these databases; all tenants are activated at boot unless `tenants` says otherwise. */
export const layer = (databases: Readonly<Record<string, TestDatabase.TestDatabase>>, options: Options = {}) =>
  over(
    databases,
    SystemplaneLive({
      keys: keys.all,
      tenants: Object.keys(databases),
      // Reconnecting at once, so that tests wait for the plane and not for its back-off.
      reconnect: { base: "20 millis", cap: "200 millis" },
      ...options
    })
  ).pipe(Layer.provide(silent))

/** Runs a test on behalf of acme, on a database of its own. */
export const onAcme = <A, E, R>(
  test: (acme: TestDatabase.TestDatabase) => Effect.Effect<A, E, R>,
  options: Options = {}
) =>
  Effect.flatMap(TestDatabase.make, (acme) =>
    test(acme).pipe(withTenant("acme"), Effect.provide(layer({ acme }, options)))
  )

/** A plane that reaches its database by way of a fault proxy, while strangers write to the server itself. */
import { type Duration, Effect, Layer, Logger, Option, type Redacted, References } from "effect"
import { Config, type ConfigKey, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as keys from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

export interface World {
  readonly acme: TestDatabase.TestDatabase
  readonly proxy: FaultProxy.FaultProxy
}

export interface PlaneOptions extends Partial<Parameters<typeof SystemplaneLive>[0]> {
  /** The server; by default the one of the run. */
  readonly server?: Redacted.Redacted | undefined
  /** What goes through the proxy: everything, or (by default) the listening session only. */
  readonly proxied?: "everything" | "listening" | undefined
  /** Default 5 seconds, as the connector has it. */
  readonly connectTimeout?: Duration.Input | undefined
  /** Gets the messages that are logged as warnings or worse. */
  readonly warnings?: Array<string> | undefined
}

/** Runs a test on behalf of the tenant acme, whose database is new. */
export const run = <A, E, R>(
  test: (world: World) => Effect.Effect<A, E, R>,
  { connectTimeout, proxied, server, warnings, ...options }: PlaneOptions = {}
) =>
  Effect.gen(function* () {
    const acme = yield* server === undefined ? TestDatabase.make : TestDatabase.makeOn(server)
    const proxy = yield* FaultProxy.inFrontOf(acme.url)
    const listenUrl = proxy.through(acme.url)
    const plane = SystemplaneLive({
      keys: keys.all,
      tenants: ["acme"],
      bootTimeout: "20 seconds",
      reconnect: { base: "20 millis", cap: "100 millis" },
      ...options
    }).pipe(
      Layer.provide(
        PgConnector.layerRecord({
          acme: { url: proxied === "everything" ? listenUrl : acme.url, listenUrl, connectTimeout }
        })
      ),
      // Of the test too: a read that goes to the database finds changes, and reports them.
      Layer.provideMerge(warnings === undefined ? TestPlane.silent : collected(warnings))
    )
    return yield* test({ acme, proxy }).pipe(withTenant("acme"), Effect.provide(plane))
  })

const collected = (warnings: Array<string>) =>
  Layer.merge(
    Logger.layer([Logger.make(({ message }) => warnings.push(String(Array.isArray(message) ? message[0] : message)))]),
    Layer.succeed(References.MinimumLogLevel, "Warn")
  )

const status = Effect.map(
  TenantManager.use((manager) => manager.status("acme")),
  Option.getOrThrow
)

/** The epoch of the tenant's snapshot. */
export const epoch = Effect.map(status, ({ epoch }) => epoch)

export const becomes = (...states: ReadonlyArray<string>) =>
  TestDatabase.eventually(
    states.join(" or "),
    Effect.map(status, ({ state }) => states.includes(state))
  )

/** Waits until reads of the key return the value. */
export const seen = <A>(key: ConfigKey<A>, value: A) =>
  TestDatabase.eventually(
    `${key.key} is ${value}`,
    Effect.map(Config.get(key), (seen) => seen === value)
  )

/** The entry as a reader can have it: in force, or, if the database cannot be reached, the last known one. */
export const entryOrLastKnown = <A>(key: ConfigKey<A>) =>
  Effect.catchReason(Config.entry(key), "ConfigError", "Unavailable", ({ lastKnown }) =>
    lastKnown === undefined ? Effect.die(new Error("nothing was ever known")) : Effect.succeed(lastKnown)
  )

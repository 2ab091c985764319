import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { PgConnector, SystemplaneLive, TenantManager } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as PostgresServer from "../../dev/PostgresServer.ts"
import * as keys from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

// Making the databases takes a minute, so it is no part of `npm test`.
const tenants = Array.from({ length: 200 }, (_, number) => `t${number}`)

const maxConnectsPerSecond = tenants.length / 2
const maxConcurrentActivations = 4

/** The most that fell into any one second. */
const busiestSecond = (times: ReadonlyArray<number>) =>
  times.reduce((most, start, index) => {
    const after = times.findIndex((time) => time >= start + 1000)
    return Math.max(most, (after === -1 ? times.length : after) - index)
  }, 0)

/** A server with a database per tenant, each a copy of one that is prepared. */
const serverOfTenants = Effect.gen(function* () {
  const server = yield* PostgresServer.makeWith({ max_connections: "300", autovacuum: "off" })
  const admin = yield* TestDatabase.connect(server.url("postgres"))
  yield* admin.run("CREATE DATABASE prepared")
  const prepared = SystemplaneLive({ keys: keys.all, tenants: ["prepared"] }).pipe(
    Layer.provide(PgConnector.layerRecord({ prepared: { url: server.url("prepared") } })),
    Layer.provide(TestPlane.silent)
  )
  yield* Effect.scoped(Layer.build(prepared))
  yield* TestDatabase.eventually(
    "nobody uses the template",
    Effect.map(
      admin.run("SELECT FROM pg_stat_activity WHERE datname = 'prepared'"),
      (sessions) => sessions.length === 0
    )
  )
  yield* Effect.forEach(tenants, (tenant) => admin.run(`CREATE DATABASE ${tenant} TEMPLATE prepared`), {
    concurrency: 2
  })
  const listening = Effect.map(
    admin.run("SELECT DISTINCT datname FROM pg_stat_activity WHERE application_name = 'effect-systemplane listen'"),
    (rows) => rows.length
  )
  return { server, listening }
})

describe(`many tenants on one server`, () => {
  it.live(
    `G11: ${tenants.length} tenants are live again after pg_ctl restart, and connect no faster than maxConnectsPerSecond`,
    () =>
      Effect.gen(function* () {
        const { listening, server } = yield* serverOfTenants
        const proxy = yield* FaultProxy.inFrontOf(server.url("postgres"))
        const plane = SystemplaneLive({
          keys: keys.all,
          tenants,
          bootstrap: "skip",
          seedDefaults: false,
          bootTimeout: "60 seconds",
          reconnect: { base: "50 millis", cap: "500 millis" },
          maxConnectsPerSecond,
          maxConcurrentActivations
        }).pipe(
          Layer.provide(
            PgConnector.layerFrom((tenant) => Effect.succeed(Option.some({ url: proxy.through(server.url(tenant)) })))
          ),
          Layer.provide(TestPlane.silent)
        )
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          assert.strictEqual(yield* listening, tenants.length)
          yield* server.restart("fast")
          // A session that listens now connected after the restart.
          yield* TestDatabase.eventually(
            "all listen again",
            Effect.map(listening, (count) => count === tenants.length),
            "30 seconds"
          )
          yield* TestDatabase.eventually(
            "all are live",
            Effect.map(manager.statuses, (all) => all.every(({ state }) => state === "live")),
            "30 seconds"
          )
          assert.strictEqual((yield* manager.statuses).length, tenants.length)
        }).pipe(Effect.provide(plane))

        const times = yield* proxy.attemptTimes
        assert.isAtLeast(times.length, 2 * tenants.length)
        // Those that wait for their turn when a busy machine stands still all go at once afterwards.
        assert.isAtMost(busiestSecond(times), maxConnectsPerSecond + maxConcurrentActivations)
      }),
    240_000
  )
})

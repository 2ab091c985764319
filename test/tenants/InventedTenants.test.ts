/** Ids of tenants that do not exist, as requests may carry them: what they cost the tenants that do. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Redacted } from "effect"
import {
  Config,
  ConnectorError,
  PgConnector,
  SystemplaneLive,
  TenantId,
  TenantManager,
  withTenant
} from "effect-systemplane"
import * as MissingTenants from "../../src/layers/runtime/MissingTenants.ts"
import * as CountingConnector from "../support/CountingConnector.ts"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"

const read = (tenant: string) => Config.get(Limit).pipe(withTenant(tenant))

/** A plane over the test's server, where the id of a tenant is the name of its database. */
const onServer = (lines: Array<string>) =>
  Effect.gen(function* () {
    const [real, later] = [yield* TestDatabase.make, yield* TestDatabase.make]
    const url = Redacted.make(Redacted.value(real.url).replace(real.name, "{tenant}"))
    const { layer, sent } = CountingConnector.make(PgConnector.layerTemplate({ url }))
    const logger = Logger.make((options) => {
      const { annotations, level, message } = Logger.formatStructured.log(options)
      if (level !== "DEBUG") lines.push(JSON.stringify({ message, annotations }))
    })
    const plane = SystemplaneLive({ keys: keys.all, tenants: [real.name] }).pipe(
      Layer.provide(layer),
      Layer.provide(Logger.layer([logger]))
    )
    return { real, later, sent, plane }
  })

describe("tenant ids that requests invent", () => {
  it.live(
    "G11: while 300 of them are read, a real tenant answers and another is activated; then each fails at once",
    () => {
      const lines: Array<string> = []
      return Effect.gen(function* () {
        const { later, plane, real, sent } = yield* onServer(lines)
        yield* Effect.gen(function* () {
          const invented = Array.from({ length: 300 }, (_, number) => `invented_${number}`)
          yield* TenantManager.use((manager) => manager.awaitLive(real.name))
          const order: Array<string> = []
          const flood = yield* Effect.forkScoped(
            Effect.forEach(invented, (tenant) => Effect.exit(read(tenant)), { concurrency: "unbounded" }).pipe(
              Effect.tap(() => Effect.sync(() => order.push("flood")))
            ),
            { startImmediately: true }
          )
          yield* TenantManager.use((manager) => manager.activate(later.name))
          assert.strictEqual(yield* read(later.name), 600)
          assert.strictEqual(yield* read(real.name), 600)
          order.push("real")
          yield* Fiber.join(flood)
          assert.deepStrictEqual(order, ["real", "flood"])
          const health = yield* TenantManager.use((manager) => manager.health)
          assert.strictEqual(health.status, "live")
          assert.isFalse(JSON.stringify(health).includes("invented_"))

          // The one that was asked for first was found missing, and is remembered.
          const { clients, sessions } = sent
          const again = yield* Effect.exit(read("invented_0"))
          assert.isTrue(Exit.isFailure(again))
          assert.deepStrictEqual([sent.clients, sent.sessions], [clients, sessions])
        }).pipe(Effect.scoped, Effect.provide(plane))
        assert.deepStrictEqual(
          lines.filter((line) => line.includes("invented_")),
          []
        )
      })
    }
  )

  it("are remembered for half a minute, the last 10,000 of them", () => {
    const missing = MissingTenants.make()
    const error = ConnectorError.of(TenantId.make("none"), new ConnectorError.UnknownTenant())
    for (let number = 0; number < 10_050; number++) missing.add(TenantId.make(`invented_${number}`), error, 0)
    const found = (number: number, now: number) => missing.get(TenantId.make(`invented_${number}`), now) !== undefined
    assert.deepStrictEqual(
      [found(49, 1), found(50, 1), found(10_049, 29_999), found(10_049, 30_000)],
      [false, true, true, false]
    )
  })
})

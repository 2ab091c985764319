import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Config, ConfigKey, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as CountingConnector from "../support/CountingConnector.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { silent } from "../support/TestPlane.ts"

const many = Array.from({ length: 250 }, (_, i) =>
  ConfigKey.make("many", `key-${i}`, { schema: Schema.Int, defaultValue: 0 })
)

describe("Config.list of 250 keys", () => {
  it.live(
    "Config.list of 250 keys costs a few statements, not one for each key, if the tenant is suspended or keys are beyond maxEntriesPerTenant",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const { layer, sent } = CountingConnector.make(PgConnector.layerRecord({ acme }))
        const plane = SystemplaneLive({ keys: many, tenants: ["acme"], maxEntriesPerTenant: 200, seedDefaults: false })
        yield* Effect.gen(function* () {
          yield* Config.setAll(
            many.map((key, i) => ConfigKey.value(key, i)),
            { actor: "ada" }
          )
          const list = Effect.gen(function* () {
            const before = sent.statements.length
            const entries = yield* Config.list("many")
            assert.deepStrictEqual(
              entries.map(({ key, value }) => [key, value]),
              many.map(({ key }, i) => [key, i])
            )
            return sent.statements.length - before
          })
          assert.isAtMost(yield* list, 2, "live")
          yield* TenantManager.use((manager) => manager.suspend("acme"))
          assert.isAtMost(yield* list, 4, "suspended")
        }).pipe(withTenant("acme"), Effect.provide(plane.pipe(Layer.provide(layer), Layer.provide(silent))))
      })
  )
})

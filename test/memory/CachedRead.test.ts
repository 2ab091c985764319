import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Config, type ConfigKey, TenantManager, withTenant } from "effect-systemplane"
import { SystemplaneMemory } from "effect-systemplane/testing"
import * as keys from "../support/keys.ts"
import { Burst, Limit } from "../support/keys.ts"
import { silent } from "../support/TestPlane.ts"

const plane = SystemplaneMemory({ keys: keys.all, tenants: ["acme", "globex"] }).pipe(Layer.provide(silent))

const writeFor = (tenant: string, value: number) => Config.set(Limit, value, { actor: "ada" }).pipe(withTenant(tenant))

describe("reads that memory answers", () => {
  it.effect(
    "G5: a cached read answers for the tenant it runs for, not for that of the function that made it eagerly",
    () =>
      Effect.gen(function* () {
        yield* writeFor("acme", 1)
        yield* writeFor("globex", 2)
        const eager = Effect.fnUntracedEager(function* () {
          return yield* Config.get(Limit)
        })
        const both = Effect.gen(function* () {
          const own = yield* Config.get(Limit)
          const other = yield* eager().pipe(withTenant("globex"))
          return [own, other, yield* Config.get(Limit)]
        })
        assert.deepStrictEqual(yield* both.pipe(withTenant("acme")), [1, 2, 1])
      }).pipe(Effect.provide(plane))
  )

  it.effect("static reads ask the Config that is provided, also if an application made it from ours", () =>
    Effect.gen(function* () {
      const ours = yield* Config
      const pinned: Config["Service"] = {
        ...ours,
        get: ((key: ConfigKey.Any) => (key === Limit ? Effect.succeed(42) : ours.get(key))) as typeof ours.get
      }
      const read = Effect.gen(function* () {
        return [yield* Config.get(Limit), yield* Config.get(Burst)]
      })
      const [limit, burst] = yield* read
      assert.deepStrictEqual(yield* Effect.provideService(read, Config, pinned), [42, burst])
      assert.deepStrictEqual(yield* read, [limit, burst])
    }).pipe(withTenant("acme"), Effect.provide(plane))
  )

  it.effect("reads of a tenant that was removed and came back find its new replica", () =>
    Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* Config.set(Limit, 1, { actor: "ada" })
      assert.strictEqual(yield* Config.get(Limit), 1)
      yield* manager.remove("acme")
      yield* manager.activate("acme")
      yield* Config.set(Limit, 2, { actor: "ada" })
      assert.strictEqual(yield* Config.get(Limit), 2)
      assert.strictEqual(yield* Config.get(Limit), 2)
    }).pipe(withTenant("acme"), Effect.provide(plane))
  )
})

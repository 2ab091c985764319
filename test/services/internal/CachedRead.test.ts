import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Config, ConfigKey, notInMemory, type TenantView } from "effect-systemplane"
import * as CachedRead from "../../../src/services/internal/CachedRead.ts"

const key = ConfigKey.make("n", "k", { schema: Schema.Int, defaultValue: 0 })

/** A Config that is ours, whose tenant has nothing in memory; counts the looks of a read that misses. */
const missing = (looks: Array<string>) => {
  const view = (name: string) => (): TenantView => ({
    peek: () => {
      looks.push(name)
      return notInMemory
    }
  })
  const read = new CachedRead.CachedRead(key, new CachedRead.LastContext(view("service")), Effect.succeed(7))
  const config = { get: () => read } as unknown as Config["Service"]
  CachedRead.register(config, view("static"))
  return config
}

describe("CachedRead", () => {
  it.effect(
    "CachedRead looks into memory once before it asks the service, which then does not follow the same memo",
    () =>
      Effect.gen(function* () {
        const inGenerator: Array<string> = []
        const program = Effect.gen(function* () {
          return yield* Config.get(key)
        })
        assert.strictEqual(yield* Effect.provideService(program, Config, missing(inGenerator)), 7)
        assert.deepStrictEqual(inGenerator, ["static"])

        const asEffect: Array<string> = []
        assert.strictEqual(yield* Effect.provideService(Config.get(key), Config, missing(asEffect)), 7)
        assert.deepStrictEqual(asEffect, ["static"])
      })
  )

  it.effect("CachedRead of a Config that an application made from ours looks into memory in the service", () =>
    Effect.gen(function* () {
      const looks: Array<string> = []
      const ours = missing(looks)
      assert.strictEqual(yield* Effect.provideService(Config.get(key), Config, { ...ours }), 7)
      assert.deepStrictEqual(looks, ["service"])
    })
  )
})

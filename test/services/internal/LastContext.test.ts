import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { CurrentTenant, withTenant } from "effect-systemplane"
import { LastContext } from "../../../src/services/internal/CachedRead.ts"

describe("LastContext", () => {
  it.effect("LastContext looks once for reads in a row, and again in another context or when told to", () =>
    Effect.gen(function* () {
      let looks = 0
      const tenants = new LastContext((fiber) => {
        looks++
        return Option.getOrUndefined(fiber.getRef(CurrentTenant))
      })
      const read = Effect.withFiber((fiber) => Effect.succeed(tenants.of(fiber)))
      assert.isUndefined(yield* read)
      assert.isUndefined(yield* read)
      assert.strictEqual(looks, 1)
      assert.strictEqual(yield* withTenant("acme")(read), "acme")
      assert.isUndefined(yield* read)
      assert.strictEqual(looks, 3)
      tenants.forget()
      assert.isUndefined(yield* read)
      assert.strictEqual(looks, 4)
    })
  )
})

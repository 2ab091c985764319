import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { CurrentTenant, TenantId, withTenant } from "effect-systemplane"

const acme = TenantId.make("acme")
const globex = TenantId.make("globex")

/** Whose configuration would be read here. */
const current = Effect.map(CurrentTenant, Option.getOrUndefined)

describe("withTenant", () => {
  it.effect("G5: withTenant sets the tenant for what is inside, and for nothing else", () =>
    Effect.gen(function* () {
      assert.isUndefined(yield* current)
      assert.strictEqual(yield* withTenant(acme)(current), acme)
      assert.isUndefined(yield* current)
    })
  )

  it.effect("withTenant takes the innermost, and comes back to the outer one", () =>
    Effect.gen(function* () {
      const seen = Effect.all([current, withTenant(globex)(current), current])
      assert.deepStrictEqual(yield* withTenant(acme)(seen), [acme, globex, acme])
    })
  )

  it.effect("withTenant is inherited by fibers, also by those that outlive it", () =>
    Effect.gen(function* () {
      const fiber = yield* withTenant(acme)(Effect.forkDetach(Effect.andThen(Effect.yieldNow, current)))
      assert.strictEqual(yield* Fiber.join(fiber), acme)
    })
  )

  it.effect("G5: withTenant keeps tenants apart that run side by side", () =>
    Effect.gen(function* () {
      const paused = Effect.andThen(Effect.yieldNow, current)
      const seen = yield* Effect.all([withTenant(acme)(paused), paused, withTenant(globex)(paused)], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(seen, [acme, undefined, globex])
    })
  )

  it.effect(
    "withTenant fails on a malformed id before the effect runs, and repeats no more than 64 characters of it",
    () =>
      Effect.gen(function* () {
        let ran = false
        const effect = Effect.sync(() => {
          ran = true
        })
        for (const id of ["", "../acme", "acme ", "-acme", `${"a".repeat(256)}b`]) {
          const error = yield* Effect.flip(withTenant(id)(effect))
          if (error.reason._tag !== "InvalidTenantId") return assert.fail(error.message)
          assert.strictEqual(error.reason.given, id.slice(0, 64))
          assert.include(error.message, "is not a tenant id")
        }
        assert.isFalse(ran)
      })
  )

  it.effect("withTenant cannot fail if the id is a TenantId: its type says so", () => {
    const infallible: Effect.Effect<TenantId | undefined> = withTenant(acme)(current)
    return Effect.map(infallible, (tenant) => assert.strictEqual(tenant, acme))
  })
})

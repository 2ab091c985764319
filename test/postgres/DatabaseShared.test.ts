import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { ActivationError, Config, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as Witness from "./Witness.ts"

const activate = (tenant: string) => TenantManager.use((manager) => manager.activate(tenant))

/** Two tenants whose addresses differ to the eye, and lead to one database. */
const twoNames = Effect.map(TestDatabase.make, (acme) => {
  const url = new URL(Redacted.value(acme.url))
  url.searchParams.set("application_name", "another address")
  return { acme, globex: { ...acme, url: Redacted.make(url.toString()) } }
})

const assertRefused = (error: ActivationError, tenant: string, other: string) => {
  if (error.reason._tag !== "DatabaseShared") return assert.fail(error.message)
  assert.strictEqual(error.tenant, tenant)
  assert.strictEqual<string>(error.reason.other, other)
}

describe("two tenants that resolve to one database", () => {
  it.live("G5: two tenants that resolve to one database are refused at boot, and the error names both", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Layer.build(TestPlane.layer(yield* twoNames, { boot: "require" })))
      assert.instanceOf(error, ActivationError)
      if (!(error instanceof ActivationError) || error.reason._tag !== "DatabaseShared")
        return assert.fail(error.message)
      assert.sameMembers([error.tenant, error.reason.other], ["acme", "globex"])
      assert.include(error.message, "acme")
      assert.include(error.message, "globex")
    }).pipe(Effect.scoped)
  )

  it.live(
    "G5: the first of two tenants on one database works; the second reads and writes nothing until it is removed",
    () =>
      Effect.gen(function* () {
        const databases = yield* twoNames
        const { acme } = databases
        yield* Effect.gen(function* () {
          yield* activate("acme")
          yield* Config.set(Limit, 111, { actor: "test" }).pipe(withTenant("acme"))

          assertRefused(yield* Effect.flip(activate("globex")), "globex", "acme")

          // The second one, as its readers and writers see it.
          yield* Effect.gen(function* () {
            for (const attempt of [
              Config.get(Limit),
              Config.entry(Limit),
              Config.get("rate-limits", "requests-per-minute"),
              Config.list("rate-limits"),
              Config.set(Limit, 222, { actor: "test" }),
              Config.remove(Limit, { actor: "test" })
            ]) {
              const error = yield* Effect.flip<unknown, any, Config>(attempt)
              assert.strictEqual(error.reason._tag, "Unavailable")
              assert.notInclude(Witness.textOf(error), "acme")
            }
            assert.strictEqual(yield* Config.getOrDefault(Limit), Limit.defaultValue)
          }).pipe(withTenant("globex"))

          // The first one goes on.
          const revision = yield* acme.write("rate-limits", "requests-per-minute", 333)
          yield* TestDatabase.eventually(
            "the first tenant sees the change",
            Effect.map(Config.entry(Limit), (entry) => entry.revision === revision && entry.value === 333)
          ).pipe(withTenant("acme"))

          yield* TenantManager.use((manager) => manager.remove("acme"))
          yield* TenantManager.use((manager) => manager.awaitLive("globex"))
          yield* activate("globex")
          assert.strictEqual(yield* Config.get(Limit).pipe(withTenant("globex")), 333)
          assertRefused(yield* Effect.flip(activate("acme")), "acme", "globex")
        }).pipe(Effect.provide(TestPlane.layer(databases, { tenants: [] })))
      }).pipe(Effect.scoped)
  )

  it.live("two databases on one server are not taken for one", () =>
    Effect.gen(function* () {
      const databases = { acme: yield* TestDatabase.make, globex: yield* TestDatabase.make }
      yield* Effect.gen(function* () {
        yield* Config.set(Limit, 111, { actor: "test" }).pipe(withTenant("acme"))
        assert.strictEqual(yield* Config.get(Limit).pipe(withTenant("globex")), Limit.defaultValue)
      }).pipe(Effect.provide(TestPlane.layer(databases)))
    }).pipe(Effect.scoped)
  )
})

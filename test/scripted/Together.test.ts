/** G9 through the engine: what was written in one transaction, while reads of everything and of one key overlap. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import { breathe, make, promptly } from "./plane.ts"

const limitKey = `${Limit.namespace}/${Limit.key}`
const burstKey = `${Burst.namespace}/${Burst.key}`
const both = Effect.map(Config.snapshot, (snapshot) => [snapshot.get(Limit), snapshot.get(Burst)])

describe("G9 what was written together", () => {
  it.effect("a load that began before a key was read alone makes no tenant live: it is read once more", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    acme.write(limitKey, 1)
    acme.write(burstKey, 1)
    return Effect.gen(function* () {
      acme.gate.closeUnsafe()
      const activation = yield* Effect.forkChild(
        TenantManager.use((manager) => manager.activate("acme")),
        { startImmediately: true }
      )
      yield* promptly("the load was sent", () => acme.reads === 1)
      acme.write(limitKey, 2)
      acme.write(burstKey, 2)
      assert.strictEqual(yield* Config.get(Limit), 2)

      yield* acme.gate.open
      yield* Fiber.join(activation)
      assert.deepStrictEqual(yield* both, [2, 2])
      assert.strictEqual(acme.reads, 2)
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect(
    "a read of one key that finds it changed brings in the others, once for all keys that are read at once",
    () => {
      const plane = make()
      const acme = plane.tenant("acme")
      acme.write(limitKey, 1)
      acme.write(burstKey, 1)
      return Effect.gen(function* () {
        yield* TenantManager.use((manager) => manager.activate("acme"))
        yield* TenantManager.use((manager) => manager.suspend("acme"))
        acme.write(limitKey, 2)
        acme.write(burstKey, 2)

        acme.clientGate.closeUnsafe()
        const reads = yield* Effect.forkChild(
          Effect.all([Config.get(Limit), Config.get(Burst)], { concurrency: "unbounded" })
        )
        yield* promptly("both were sent", () => acme.statements === 2)
        yield* acme.clientGate.release
        yield* breathe
        yield* acme.clientGate.open
        assert.deepStrictEqual(yield* Fiber.join(reads), [2, 2])
        assert.strictEqual(acme.statements, 3)

        yield* TenantManager.use((manager) => manager.activate("acme"))
        assert.deepStrictEqual(yield* both, [2, 2])
      }).pipe(withTenant("acme"), Effect.provide(plane.layer))
    }
  )
})

/** G9 through the engine: what was written in one transaction, while reads of everything and of one key overlap. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Config, TenantManager } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import { activate, breathe, burstKey, limitKey, onPlane, promptly } from "./ScriptedPlane.ts"

const both = Effect.map(Config.snapshot, (snapshot) => [snapshot.get(Limit), snapshot.get(Burst)])

describe("keys that were written together", () => {
  it.effect("G9: a load that began before a key was read alone is read once more before the tenant is live", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      acme.write(limitKey, 1)
      acme.write(burstKey, 1)
      acme.gate.closeUnsafe()
      const activation = yield* Effect.forkChild(activate(), { startImmediately: true })
      yield* promptly("the load was sent", () => acme.reads === 1)
      acme.write(limitKey, 2)
      acme.write(burstKey, 2)
      assert.strictEqual(yield* Config.get(Limit), 2)

      yield* acme.gate.open
      yield* Fiber.join(activation)
      assert.deepStrictEqual(yield* both, [2, 2])
      assert.strictEqual(acme.reads, 2)
    })
  )

  it.effect("G9: a read of one key that finds it changed brings in the others, once for all concurrent reads", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      acme.write(limitKey, 1)
      acme.write(burstKey, 1)
      yield* activate()
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

      yield* activate()
      assert.deepStrictEqual(yield* both, [2, 2])
    })
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { MemoryDriver, SystemplaneMemory } from "effect-systemplane/testing"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import { silent } from "../support/TestPlane.ts"

describe("a read that went to the database while the tenant became live", () => {
  it.effect("G2: a read that overlaps an activation is applied to the new replica: the next read is not older", () =>
    Effect.gen(function* () {
      const manager = yield* TenantManager
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.write(Limit, 1)
      yield* acme.client.set({ requests: "hold" })
      const read = yield* Effect.forkScoped(Config.entry(Limit), { startImmediately: true })
      yield* TestClock.adjust("10 millis")
      yield* manager.activate("acme")
      yield* acme.feed.set({ notifications: "hold" })
      yield* acme.write(Limit, 2)
      assert.strictEqual(yield* Config.get(Limit), 1)
      yield* acme.client.set({ requests: "pass" })
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* Fiber.join(read)).value, 2)
      assert.strictEqual(yield* Config.get(Limit), 2)
    }).pipe(
      withTenant("acme"),
      Effect.provide(
        SystemplaneMemory({ keys: keys.all, activation: "explicit", bootstrap: "skip", seedDefaults: false })
      ),
      Effect.provide(silent)
    )
  )
})

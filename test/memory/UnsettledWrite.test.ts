import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Config, MemoryDriver, SystemplaneMemory, withTenant } from "effect-systemplane"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import { silent } from "../support/TestPlane.ts"

const plane = SystemplaneMemory({
  keys: keys.all,
  tenants: ["acme"],
  seedDefaults: false,
  maxStaleness: "3 seconds"
}).pipe(Layer.provide(silent))

describe("a write that the snapshot cannot place, on a database that fell silent after it", () => {
  it.effect("G3 returns the row as it was written, and the snapshot answers nothing until it has it", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.feed.set({ notifications: "lose" })
      yield* acme.client.set({ requests: "hold" })
      const writing = yield* Effect.forkChild(Config.set(Limit, 7, { actor: "ada" }))
      // A verification meanwhile finds no row: once the answer comes, it might be of before or after that.
      yield* TestClock.adjust("1500 millis")
      yield* acme.client.set({ requests: "pass", answers: "hold" })
      yield* TestClock.adjust(0)
      assert.strictEqual((yield* acme.rows).length, 1)
      yield* acme.feed.set({ requests: "hold", connections: "refuse" })
      yield* acme.client.set({ requests: "hold", answers: "pass" })
      yield* TestClock.adjust("10 seconds")
      const written = yield* Fiber.join(writing)
      assert.deepInclude(written, { value: 7, revision: 1, updatedBy: "ada" })
      const reading = yield* Effect.forkChild(Config.get(Limit))
      yield* TestClock.adjust(0)
      assert.isUndefined(reading.pollUnsafe())
      yield* acme.client.set({ requests: "pass" })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Config.get(Limit), 7)
      yield* Fiber.interrupt(reading)
    }).pipe(withTenant("acme"), Effect.provide(plane))
  )
})

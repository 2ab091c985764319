import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { Config, type ConfigError, type Entry, TenantManager, withTenant } from "effect-systemplane"
import { MemoryDriver, SystemplaneMemory } from "effect-systemplane/testing"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import { silent } from "../support/TestPlane.ts"

const plane = SystemplaneMemory({
  keys: keys.all,
  tenants: ["acme"],
  seedDefaults: false,
  maxStaleness: "3 seconds"
}).pipe(Layer.provide(silent))

const set7 = Config.set(Limit, 7, { actor: "ada" })

describe("a write that the snapshot cannot place, on a database that fell silent after it", () => {
  it.effect("G3: returns the row as it was written, and the snapshot answers nothing until it has it", () =>
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
      // The answer is there, and reading the table has 5 seconds more.
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(writing.pollUnsafe())
      yield* TestClock.adjust("1 millis")
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

  /** Sends a write, and has everything read and found without it before its answer can come. */
  const sendUnplaceable = (write: Effect.Effect<Entry<unknown>, ConfigError, Config>) =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.feed.set({ notifications: "lose" })
      yield* acme.client.set({ requests: "hold" })
      const writing = yield* Effect.forkChild(write)
      yield* TestClock.adjust("1500 millis")
      return { acme, writing }
    })

  const stateOfAcme = TenantManager.use((manager) =>
    Effect.map(manager.status("acme"), (status) => Option.getOrThrow(status).state)
  )

  it.effect("G3: a whole read that began before the answer does not make the old value live again", () =>
    Effect.gen(function* () {
      const { acme, writing } = yield* sendUnplaceable(set7)
      // The next verification looks at the table before the write, and its answer comes after the answer to the write.
      yield* acme.feed.set({ answers: "hold" })
      yield* TestClock.adjust("900 millis")
      yield* acme.client.set({ requests: "pass", answers: "hold" })
      yield* TestClock.adjust(0)
      yield* acme.client.set({ requests: "refuse", answers: "pass" })
      yield* TestClock.adjust(0)
      assert.deepInclude(yield* Fiber.join(writing), { value: 7 })
      // Only what is under way passes: the read that follows it would tell the truth.
      yield* acme.feed.set({ requests: "hold", answers: "pass" })
      yield* TestClock.adjust(0)
      const { reason } = yield* Effect.flip(Config.get(Limit))
      assert.strictEqual(reason._tag, "Unavailable", "not 600")
      assert.notStrictEqual(yield* stateOfAcme, "live")
      yield* acme.feed.set({ requests: "pass" })
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* Config.get(Limit), 7)
      assert.strictEqual(yield* stateOfAcme, "live")
    }).pipe(withTenant("acme"), Effect.provide(plane))
  )

  it.effect("G3: everything is read once more on the feed at once, without waiting for the next verification", () =>
    Effect.gen(function* () {
      const { acme, writing } = yield* sendUnplaceable(set7)
      yield* acme.client.set({ requests: "pass", answers: "hold" })
      yield* TestClock.adjust(0)
      yield* acme.client.set({ requests: "refuse", answers: "pass" })
      yield* TestClock.adjust(0)
      assert.deepInclude(yield* Fiber.join(writing), { value: 7 })
      assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
    }).pipe(withTenant("acme"), Effect.provide(plane))
  )
})

describe("how long a call may take at worst", () => {
  /** How long an effect takes by the test's clock, in milliseconds, to within 100. */
  const took = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const before = yield* Clock.currentTimeMillis
      const fiber = yield* Effect.forkChild(Effect.exit(effect))
      while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("100 millis")
      return (yield* Clock.currentTimeMillis) - before
    })

  it.effect("G10: a read ends within 5 seconds, and a write before its 15, on a database that answers nothing", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.feed.set({ requests: "hold", connections: "refuse" })
      yield* acme.client.set({ requests: "hold" })
      // Until then the snapshot answers.
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* took(Config.get(Limit)), 5000)
      // A copy, the question what became of it, and the pauses of 200 ms after both: then 10 seconds are over.
      assert.strictEqual(yield* took(set7), 10_400)
    }).pipe(withTenant("acme"), Effect.provide(plane))
  )
})

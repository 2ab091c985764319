import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Config, ConfigKey, TenantManager, withTenant } from "effect-systemplane"
import { MemoryDriver, SystemplaneMemory } from "effect-systemplane/testing"
import * as keys from "../support/keys.ts"
import { Burst, Limit } from "../support/keys.ts"
import { silent } from "../support/TestPlane.ts"

const plane = (options: Partial<Parameters<typeof SystemplaneMemory>[0]> = {}) =>
  SystemplaneMemory({ keys: keys.all, tenants: ["acme"], ...options }).pipe(Layer.provide(silent))

const actor = { actor: "ada" }
const reasonOf = <A, E extends { readonly reason: unknown }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

describe("a plane in memory", () => {
  it.effect("a plane in memory is live, seeded, and hears of what others write", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      assert.strictEqual((yield* acme.rows).length, keys.all.length)
      assert.strictEqual(yield* Config.get(Limit), 600)
      const { revision } = yield* acme.write(Limit, 7)
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* Config.entry(Limit), { value: 7, revision, stale: false, updatedBy: "stranger" })
      assert.strictEqual(yield* acme.feed.open, 1)
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("a plane in memory needs no tenant if there is only one, and knows no other", () =>
    Effect.gen(function* () {
      yield* Config.set(Limit, 8, actor)
      assert.strictEqual(yield* Config.get(Limit), 8)
      const reason = (yield* reasonOf(TenantManager.use((manager) => manager.activate("globex")))) as any
      assert.strictEqual(reason._tag, "UnknownTenant")
    }).pipe(Effect.provide(plane({ soleTenant: "only", tenants: undefined })))
  )

  it.effect("G5: a plane in memory refuses a malformed sole tenant", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Layer.build(plane({ soleTenant: "no spaces" })))
      assert.strictEqual(error._tag, "InvalidOption")
    })
  )

  it.effect("options that no compiler checked are refused by name, and what cannot be read with them", () =>
    Effect.gen(function* () {
      const unreadable = {
        get boot() {
          return assert.fail("getter")
        }
      }
      for (const [option, given] of [
        ["keys", { keys: [{}] }],
        ["keys", { keys: null }],
        ["tenants", { tenants: "acme" }],
        ["seedDefaults", { seedDefaults: "false" }],
        ["history", { history: true }],
        ["reconnect", { reconnect: 5 }],
        ["options", unreadable]
      ] as const) {
        const options = Object.defineProperties({ keys: keys.all }, Object.getOwnPropertyDescriptors(given))
        const error = yield* Effect.flip(Layer.build(SystemplaneMemory(options as any)))
        assert.deepInclude(error, { _tag: "InvalidOption", option })
      }
    })
  )

  it.effect("what is no key is an unknown one, and what is no tenant a malformed one", () =>
    Effect.gen(function* () {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      for (const given of [undefined, null, {}, proxy] as ReadonlyArray<any>) {
        const calls = [Config.get(given), Config.entry(given), Config.set(given, 1, actor), Config.remove(given, actor)]
        for (const call of calls) assert.strictEqual(((yield* reasonOf(call)) as any)._tag, "UnknownKey")
        const tenant = (yield* reasonOf(TenantManager.use((manager) => manager.activate(given)))) as any
        assert.strictEqual(tenant._tag, "InvalidTenantId")
      }
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("a plane in memory shares its databases with a second plane, and each has its own faults", () =>
    Effect.gen(function* () {
      const driver = yield* MemoryDriver
      const second = yield* Layer.build(plane({ beside: driver }))
      const there = yield* Effect.provide(MemoryDriver.tenant("acme"), second)
      yield* there.feed.set({ notifications: "lose" })
      yield* Config.set(Limit, 9, actor)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Effect.provide(Config.get(Limit), second), 600)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Effect.provide(Config.get(Limit), second), 9)
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )
})

describe("the driver of a plane in memory", () => {
  it.effect("the driver of a plane in memory holds, reorders and repeats notifications", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.feed.set({ notifications: "hold" })
      yield* acme.write(Limit, 7)
      yield* acme.transact([{ key: Burst, value: 7 }, { key: keys.Greeting }])
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Config.get(Limit), 600)
      yield* acme.feed.set({ notifications: "pass" })
      yield* TestClock.adjust(1)
      assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Burst)], [7, 7])
      yield* acme.feed.set({ notifications: "hold" })
      const { revision } = yield* acme.write(Limit, 8)
      yield* acme.erase(Burst)
      const held = yield* acme.feed.takeHeld
      // All there is in them (G14).
      assert.deepStrictEqual(
        held.map((payload) => JSON.parse(payload)),
        [
          { namespace: Limit.namespace, key: Limit.key, op: "upsert", revision },
          { namespace: Burst.namespace, key: Burst.key, op: "delete", revision: 0 }
        ]
      )
      yield* acme.feed.notify([...held.toReversed(), ...held, "{"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Burst)], [8, 20])
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("G1: a verification makes up for notifications that the driver loses or holds", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.feed.set({ notifications: "hold" })
      yield* acme.write(Limit, 7)
      yield* acme.feed.set({ notifications: "lose" })
      yield* acme.write(Burst, 7)
      yield* acme.feed.set({ notifications: "pass" })
      yield* TestClock.adjust(1)
      assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Burst)], [600, 20])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Burst)], [7, 7])
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("G13: a plane comes back after the driver disconnects and refuses it", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      const manager = yield* TenantManager
      yield* acme.feed.set({ connections: "refuse" })
      assert.strictEqual(yield* acme.feed.disconnect, 1)
      yield* acme.write(Limit, 7)
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(Option.getOrThrow(yield* manager.status("acme")), { state: "stale" })
      yield* acme.feed.set(MemoryDriver.healthy)
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(Option.getOrThrow(yield* manager.status("acme")), { state: "live" })
      assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("G4: a black hole of the driver is noticed, and reads fall back on the client", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.feed.set(MemoryDriver.blackHole)
      yield* acme.write(Limit, 7)
      yield* TestClock.adjust("31 seconds")
      assert.deepInclude(yield* Config.entry(Limit), { value: 7, stale: false })
      assert.isAbove(yield* acme.client.statements, 0)
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("G10: a write that the driver cuts off before or after it landed has a definite outcome", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.client.set({ connections: "refuse" })
      assert.strictEqual(yield* acme.client.disconnect, 1)
      assert.deepInclude(yield* reasonOf(Config.set(Limit, 1, actor)), { _tag: "Unavailable" })
      yield* acme.client.set({ connections: "accept", requests: "cut" })
      const before = yield* Effect.forkChild(reasonOf(Config.set(Limit, 2, actor)))
      yield* TestClock.adjust("16 seconds")
      assert.deepInclude(yield* Fiber.join(before), { _tag: "WriteOutcomeUnknown" })
      yield* acme.client.set({ requests: "pass", answers: "cut" })
      const after = yield* Effect.forkChild(Config.set(Limit, 3, actor))
      yield* TestClock.adjust("100 millis")
      yield* acme.client.set({ answers: "pass" })
      yield* TestClock.adjust("200 millis")
      assert.deepInclude(yield* Fiber.join(after), { value: 3 })
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("a write that is held is abandoned after its time, and lands when it may pass", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.client.set({ requests: "hold" })
      const write = yield* Effect.forkChild(reasonOf(Config.set(Limit, 2, actor)))
      yield* TestClock.adjust("5 seconds")
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Fiber.join(write), { _tag: "WriteOutcomeUnknown" })
      assert.strictEqual(yield* Config.get(Limit), 600)
      yield* acme.client.set({ requests: "pass" })
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Config.get(Limit), 2)
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("G1: rows that the driver writes without triggers, deletes or restores from a copy are found", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      const { revision } = yield* acme.write(Limit, 7)
      yield* TestClock.adjust(1)
      yield* acme.write(Limit, 8, { triggers: false })
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* Config.entry(Limit), { value: 7 })
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Config.entry(Limit), { value: 8, revision })
      const restore = yield* acme.backup
      yield* acme.write(Limit, 9)
      yield* TestClock.adjust(1)
      // A row that is written next is another one than 9, though it draws the same revision.
      yield* restore
      yield* acme.write(Limit, 10)
      yield* TestClock.adjust(1)
      assert.deepInclude(yield* Config.entry(Limit), { value: 10 })
      yield* restore
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Config.entry(Limit), { value: 8, revision })
      yield* acme.truncate
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Config.entry(Limit), { value: 600, revision: 0 })
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )

  it.effect("the driver of a plane in memory changes all or nothing", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      const before = yield* acme.rows
      const error = yield* Effect.flip(
        acme.transact([
          { key: Limit, value: 1 },
          { key: Burst, value: "\0" }
        ])
      )
      assert.strictEqual(error.reason._tag, "Refused")
      assert.deepStrictEqual(yield* acme.rows, before)
    }).pipe(Effect.provide(plane()))
  )

  it.effect("G9: rows that the driver changes together are seen together", () =>
    Effect.gen(function* () {
      yield* Config.setAll([ConfigKey.value(Limit, 3), ConfigKey.value(Burst, 3)], actor)
      const seen = yield* Config.watch(Limit).pipe(Stream.runHead)
      assert.deepInclude(Option.getOrThrow(seen), { value: 3 })
    }).pipe(withTenant("acme"), Effect.provide(plane()))
  )
})

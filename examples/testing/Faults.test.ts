/** What breaks between a service and its database, under the test's own clock: a minute of outage takes no time. */
import { assert, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Config, ConfigKey, TenantManager, withTenant } from "effect-systemplane"
import { MemoryDriver, SystemplaneMemory } from "effect-systemplane/testing"

const Limit = ConfigKey.make("rate-limits", "requests-per-minute", { schema: Schema.Int, defaultValue: 600 })

const limit = Config.get(Limit)

it.effect("a value that is there from the start", () =>
  Effect.gen(function* () {
    assert.strictEqual(yield* limit.pipe(withTenant("acme")), 5)
    assert.strictEqual(yield* limit.pipe(withTenant("globex")), 600)
  }).pipe(
    Effect.provide(SystemplaneMemory.values({ acme: [ConfigKey.value(Limit, 5)], globex: [] }, { keys: [Limit] }))
  )
)

const Plane = SystemplaneMemory({ keys: [Limit], tenants: ["acme"] })

it.effect("a change whose notification is lost is found by verification", () =>
  Effect.gen(function* () {
    const acme = yield* MemoryDriver.tenant("acme")
    yield* acme.feed.set({ notifications: "lose" })
    yield* acme.write(Limit, 5)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* limit, 600)
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual(yield* limit, 5)
  }).pipe(withTenant("acme"), Effect.provide(Plane))
)

it.effect("reconnecting: a change that was made while the connection was gone counts afterwards", () =>
  Effect.gen(function* () {
    const acme = yield* MemoryDriver.tenant("acme")
    yield* acme.feed.set({ connections: "refuse" })
    yield* acme.feed.disconnect
    yield* acme.write(Limit, 5)
    yield* TestClock.adjust("1 second")
    assert.deepInclude(yield* Config.entry(Limit), { value: 600, stale: true })
    yield* acme.feed.set(MemoryDriver.healthy)
    yield* TestClock.adjust("1 minute")
    assert.deepInclude(yield* Config.entry(Limit), { value: 5, stale: false })
  }).pipe(withTenant("acme"), Effect.provide(Plane))
)

it.effect("an outage that outlasts maxStaleness: a read fails, and carries the last value", () =>
  Effect.gen(function* () {
    const acme = yield* MemoryDriver.tenant("acme")
    yield* acme.write(Limit, 5)
    yield* TestClock.adjust("1 second")
    for (const link of [acme.feed, acme.client]) {
      yield* link.set({ connections: "refuse" })
      yield* link.disconnect
    }
    yield* TestClock.adjust("1 minute")
    const { reason } = yield* Effect.flip(limit)
    assert.strictEqual(reason._tag, "Unavailable")
    assert.strictEqual(yield* Config.getOrDefault(Limit), 5)
    const status = yield* TenantManager.use((manager) => manager.status("acme"))
    assert.strictEqual(Option.getOrThrow(status).state, "stale")
  }).pipe(withTenant("acme"), Effect.provide(Plane))
)

import { assert, describe, it } from "@effect/vitest"
import { Cause, DateTime, Effect, Exit, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Config, Health, TenantManager, TenantStatus, withTenant } from "effect-systemplane"
import { MemoryDriver, SystemplaneMemory, type SystemplaneMemoryOptions } from "effect-systemplane/testing"
import * as keys from "../support/keys.ts"
import { ApiKey, Burst, Limit } from "../support/keys.ts"
import { silent } from "../support/TestPlane.ts"

const onPlane = <A, E>(
  test: Effect.Effect<A, E, Config | TenantManager | MemoryDriver>,
  options: Partial<SystemplaneMemoryOptions> = {}
) =>
  test.pipe(
    withTenant("acme"),
    Effect.provide(SystemplaneMemory({ keys: keys.all, tenants: ["acme"], ...options }).pipe(Layer.provide(silent)))
  )

const manage = (what: "suspend" | "activate" | "remove") => TenantManager.use((manager) => manager[what]("acme"))

describe("what a read that fails says", () => {
  it.effect("G5: Unavailable carries the last known entry of a key, and never that of a secret one", () =>
    onPlane(
      Effect.gen(function* () {
        const canary = "canary-secret"
        yield* TestClock.adjust("1 second")
        yield* Config.set(ApiKey, canary, { actor: "ada" })
        yield* Config.set(Limit, 7, { actor: "ada" })
        yield* manage("suspend")
        const acme = yield* MemoryDriver.tenant("acme")
        yield* acme.client.set({ connections: "refuse" })
        yield* acme.client.disconnect
        const failing = [
          Config.get(ApiKey),
          Config.entry(ApiKey),
          Config.get(ApiKey.namespace, ApiKey.key),
          Config.set(ApiKey, "other-value", { actor: "ada" }),
          Config.remove(ApiKey, { actor: "ada" })
        ] as ReadonlyArray<Effect.Effect<unknown, any, Config>>
        for (const read of failing) {
          const error = yield* Effect.flip(read)
          assert.strictEqual(error.reason._tag, "Unavailable")
          assert.isUndefined(error.reason.lastKnown)
          assert.notInclude(JSON.stringify(error) + String(error), canary)
        }
        const { reason } = yield* Effect.flip(Config.get(Limit))
        assert.strictEqual(reason._tag === "Unavailable" && reason.lastKnown?.value, 7)
      })
    )
  )

  it.effect("a server that refuses statements, and a tenant that does not exist, leave the read circuit closed", () =>
    onPlane(
      Effect.gen(function* () {
        yield* manage("suspend")
        const acme = yield* MemoryDriver.tenant("acme")
        yield* acme.client.set({ requests: "refuse" })
        const before = yield* acme.client.statements
        for (let i = 0; i < 8; i++) {
          const { reason } = yield* Effect.flip(Config.get(Limit))
          assert.isUndefined(reason._tag === "Unavailable" ? reason.retryAfter : "another reason")
        }
        assert.strictEqual((yield* acme.client.statements) - before, 8, "each of them was asked")

        const messages = new Set<string>()
        for (let i = 0; i < 8; i++) {
          const error = yield* Effect.flip(Config.get(Limit).pipe(withTenant("ghost")))
          assert.strictEqual(error.reason._tag, "UnknownTenant")
          messages.add(error.message)
        }
        assert.strictEqual(messages.size, 1, [...messages].join("\n"))
        // It is no outage: no value may be answered, not even the default.
        const exit = yield* Effect.exit(Config.getOrDefault(Limit).pipe(withTenant("ghost")))
        assert.isTrue(Exit.hasDies(exit))
        assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), [...messages][0]!)
      }),
      { soleTenant: "acme", tenants: undefined }
    )
  )
})

describe("notifications of what the plane does not hold", () => {
  it.effect(
    "notifications of names that are not declared, of keys beyond maxEntriesPerTenant, and malformed ones cause no read",
    () =>
      onPlane(
        Effect.gen(function* () {
          const acme = yield* MemoryDriver.tenant("acme")
          yield* TestClock.adjust("1 second")
          const reads = acme.feed.statements
          const before = yield* reads
          const stranger = { namespace: Limit.namespace, key: "nobody-declared-this" }
          for (let i = 0; i < 20; i++) {
            yield* acme.write(stranger, i)
            yield* acme.write(Burst, i)
            yield* acme.feed.notify(["", "{}", JSON.stringify({ ...stranger, op: "delete", revision: 0 })])
            yield* TestClock.adjust("10 millis")
          }
          assert.strictEqual(yield* reads, before)
          yield* acme.write(Limit, 7)
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* reads, before + 1)
          assert.strictEqual(yield* Config.get(Limit), 7)
        }),
        { keys: [Limit, Burst], maxEntriesPerTenant: 1, maxStaleness: "1 hour" }
      )
  )
})

describe("schemas for the wire", () => {
  it.effect("TenantStatus.schema and Health.schema encode as JSON and decode again, also after a failure", () =>
    onPlane(
      Effect.gen(function* () {
        const acme = yield* MemoryDriver.tenant("acme")
        for (const break_ of [Effect.void, acme.feed.set({ connections: "refuse" })]) {
          yield* break_
          yield* acme.feed.disconnect
          yield* TestClock.adjust("2 minutes")
          const manager = yield* TenantManager
          const [status] = yield* manager.statuses
          const health = yield* manager.health
          const statusJson = Schema.fromJsonString(TenantStatus.schema)
          const decoded = yield* Schema.decodeEffect(statusJson)(yield* Schema.encodeEffect(statusJson)(status!))
          assert.deepStrictEqual(
            [decoded.state, decoded.failures, decoded.lastError?.message, DateTime.formatIso(decoded.since)],
            [status!.state, status!.failures, status!.lastError?.message, DateTime.formatIso(status!.since)]
          )
          const healthJson = Schema.fromJsonString(Health.schema)
          const text = yield* Schema.encodeEffect(healthJson)(health)
          assert.deepStrictEqual(JSON.parse(text), JSON.parse(JSON.stringify(health)))
          assert.strictEqual((yield* Schema.decodeEffect(healthJson)(text)).status, health.status)
        }
      })
    )
  )
})

describe("getOrDefault", () => {
  it.effect("getOrDefault answers the default while a database is out of reach, and dies without a tenant", () =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.client.set({ connections: "refuse" })
      assert.strictEqual(yield* Config.getOrDefault(Limit).pipe(withTenant("acme")), 600)
      const exit = yield* Effect.exit(Config.getOrDefault(Limit))
      assert.isTrue(Exit.hasDies(exit))
      assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), "No tenant is set")
    }).pipe(Effect.provide(SystemplaneMemory({ keys: keys.all, activation: "explicit" }).pipe(Layer.provide(silent))))
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Config, type ConfigHandle, TenantManager, withTenant } from "effect-systemplane"
import { ApiKey, Burst, Limit } from "../support/keys.ts"
import { upsert } from "../support/ScriptedConnector.ts"
import { breathe, make } from "./plane.ts"

const limitKey = `${Limit.namespace}/${Limit.key}`

const activate = (tenant: string) => TenantManager.use((manager) => manager.activate(tenant))

const write = (plane: ReturnType<typeof make>, tenant: string, value: number) =>
  Effect.suspend(() => {
    plane.tenant(tenant).write(limitKey, value)
    plane.tenant(tenant).notify(upsert(Limit.namespace, Limit.key))
    return breathe
  })

/** What a handle answers, in each of the ways to ask; they must agree. */
const answer = (handle: ConfigHandle<number>) =>
  Effect.gen(function* () {
    const { revision, source, stale, value } = handle.entry
    assert.strictEqual(handle.current, value)
    assert.strictEqual(yield* handle, value)
    assert.strictEqual(yield* Effect.map(handle, (value) => value), value)
    return [value, revision, source, stale]
  })

describe("handles", () => {
  it.effect("answer the value in force, each for its own tenant, whoever reads them", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate("acme")
      yield* activate("globex")
      const acme = yield* Config.handle(Limit).pipe(withTenant("acme"))
      const globex = yield* Config.handle(Limit).pipe(withTenant("globex"))
      assert.deepStrictEqual(yield* answer(acme), [600, 0, "default", false])
      yield* write(plane, "acme", 7)
      assert.deepStrictEqual(yield* answer(acme).pipe(withTenant("globex")), [7, 1, "stored", false])
      assert.deepStrictEqual(yield* answer(globex).pipe(withTenant("acme")), [600, 0, "default", false])
      assert.deepStrictEqual([acme.tenant, globex.tenant], ["acme", "globex"])
      yield* Config.set(Limit, 8, { actor: "ada" }).pipe(withTenant("acme"))
      assert.strictEqual(acme.current, 8, "G3")
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("never leave the generator that reads them", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate("acme")
      const handle = yield* Config.handle(Limit)
      const read = (function* () {
        return yield* handle
      })()
      assert.deepStrictEqual(read.next(), { done: true, value: 600 })
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("hold the last known value, and call it stale, while nobody keeps it current", () => {
    const plane = make()
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* activate("acme")
      yield* write(plane, "acme", 7)
      const handle = yield* Config.handle(Limit)

      plane.tenant("acme").opening = "hang"
      plane.tenant("acme").lose()
      yield* breathe
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "disconnected")
      yield* TestClock.adjust("31 seconds")
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "stale")

      plane.tenant("acme").opening = "succeed"
      yield* manager.suspend("acme")
      plane.tenant("acme").write(limitKey, 8)
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "suspended")
      yield* activate("acme")
      assert.deepStrictEqual(yield* answer(handle), [8, 2, "stored", false], "live again")

      yield* manager.drain()
      assert.deepStrictEqual(yield* answer(handle), [8, 2, "stored", true], "drained")
      assert.strictEqual((yield* Effect.flip(Config.handle(Limit))).reason._tag, "Closed")
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("follow the tenant through removal and re-activation, and show no default in between", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* activate("acme")
      yield* write(plane, "acme", 7)
      const handle = yield* Config.handle(Limit)

      yield* manager.remove("acme")
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "removed")

      acme.write(limitKey, 8)
      acme.gate.closeUnsafe()
      const activation = yield* Effect.forkScoped(activate("acme"), { startImmediately: true })
      yield* breathe
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "activating")
      yield* Config.set(Limit, 9, { actor: "ada" })
      assert.deepStrictEqual(yield* answer(handle), [9, 3, "stored", true], "G3 activating")
      acme.gate.openUnsafe()
      yield* breathe
      assert.isDefined(activation.pollUnsafe())
      assert.deepStrictEqual(yield* answer(handle), [9, 3, "stored", false], "live again")

      yield* manager.remove("acme")
      acme.erase(limitKey)
      yield* activate("acme")
      assert.deepStrictEqual(yield* answer(handle), [600, 0, "default", false], "erased meanwhile")
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("of a tenant that nobody follows hold what the table says, and follow it once it is activated", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    return Effect.gen(function* () {
      acme.write(limitKey, 7)
      const handle = yield* Config.handle(Limit)
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true])
      acme.write(limitKey, 8)
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true])
      yield* activate("acme")
      assert.deepStrictEqual(yield* answer(handle), [8, 2, "stored", false])

      plane.tenant("globex").clients = "no"
      const error = yield* Effect.flip(Config.handle(Limit).pipe(withTenant("globex")))
      assert.strictEqual(error.reason._tag, "Unavailable")
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("need a tenant and a declared key, and show no value where they are printed", () => {
    const plane = make()
    return Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(Config.handle(Limit))).reason._tag, "TenantMissing")
      yield* activate("acme")
      yield* Effect.gen(function* () {
        const undeclared = { ...Burst }
        assert.strictEqual((yield* Effect.flip(Config.handle(undeclared))).reason._tag, "UnknownKey")
        yield* Config.set(ApiKey, "c4n4ry", { actor: "ada" })
        const handle = yield* Config.handle(ApiKey)
        assert.strictEqual(handle.current, "c4n4ry")
        assert.notInclude(JSON.stringify(handle) + String(handle), "c4n4ry")
      }).pipe(withTenant("acme"))
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("of a key beyond maxEntriesPerTenant are not supported", () => {
    const plane = make({ maxEntriesPerTenant: 1 })
    return Effect.gen(function* () {
      yield* activate("acme")
      assert.strictEqual((yield* Config.handle(Limit)).current, 600)
      const error = yield* Effect.flip(Config.handle(Burst))
      assert.strictEqual(error.reason._tag, "NotSupported")
      assert.include(error.message, "maxEntriesPerTenant")
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })
})

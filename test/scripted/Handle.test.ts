import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Config, type ConfigHandle, TenantManager, withTenant } from "effect-systemplane"
import { ApiKey, Burst, Limit } from "../support/keys.ts"
import { activate, breathe, change, limitKey, onPlane } from "./ScriptedPlane.ts"

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
  it.effect("G5: handles answer the value in force, each for its own tenant, whichever tenant reads them", () =>
    onPlane(function* (plane) {
      yield* activate()
      yield* activate("globex")
      const acme = yield* Config.handle(Limit).pipe(withTenant("acme"))
      const globex = yield* Config.handle(Limit).pipe(withTenant("globex"))
      assert.deepStrictEqual(yield* answer(acme), [600, 0, "default", false])
      yield* change(plane.acme, 7)
      assert.deepStrictEqual(yield* answer(acme).pipe(withTenant("globex")), [7, 1, "stored", false])
      assert.deepStrictEqual(yield* answer(globex).pipe(withTenant("acme")), [600, 0, "default", false])
      assert.deepStrictEqual([acme.tenant, globex.tenant], ["acme", "globex"])
      yield* Config.set(Limit, 8, { actor: "ada" }).pipe(withTenant("acme"))
      assert.strictEqual(acme.current, 8, "G3")
    })
  )

  it.effect("handles never leave the generator that reads them", () =>
    onPlane({ tenant: "acme" }, function* () {
      yield* activate()
      const handle = yield* Config.handle(Limit)
      const read = (function* () {
        return yield* handle
      })()
      assert.deepStrictEqual(read.next(), { done: true, value: 600 })
    })
  )

  it.effect("G4: handles hold the last known value, and call it stale, while no feed keeps it current", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      const manager = yield* TenantManager
      yield* activate()
      yield* change(acme, 7)
      const handle = yield* Config.handle(Limit)

      acme.opening = "hang"
      acme.lose()
      yield* breathe
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "disconnected")
      yield* TestClock.adjust("31 seconds")
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "stale")

      acme.opening = "succeed"
      yield* manager.suspend("acme")
      acme.write(limitKey, 8)
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "suspended")
      yield* activate()
      assert.deepStrictEqual(yield* answer(handle), [8, 2, "stored", false], "live again")

      yield* manager.drain()
      assert.deepStrictEqual(yield* answer(handle), [8, 2, "stored", true], "drained")
      assert.strictEqual((yield* Effect.flip(Config.handle(Limit))).reason._tag, "Closed")
    })
  )

  it.effect(
    "G3: handles follow the tenant through removal, own writes and re-activation, and show no default in between",
    () =>
      onPlane({ tenant: "acme" }, function* ({ acme }) {
        const manager = yield* TenantManager
        yield* activate()
        yield* change(acme, 7)
        const handle = yield* Config.handle(Limit)

        yield* manager.remove("acme")
        assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true], "removed")

        acme.write(limitKey, 8)
        acme.gate.closeUnsafe()
        const activation = yield* Effect.forkScoped(activate(), { startImmediately: true })
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
        yield* activate()
        assert.deepStrictEqual(yield* answer(handle), [600, 0, "default", false], "erased meanwhile")
      })
  )

  it.effect("handles of an inactive tenant hold what the table says, and follow it once it is activated", () =>
    onPlane({ tenant: "acme" }, function* ({ acme, tenant }) {
      acme.write(limitKey, 7)
      const handle = yield* Config.handle(Limit)
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true])
      acme.write(limitKey, 8)
      assert.deepStrictEqual(yield* answer(handle), [7, 1, "stored", true])
      yield* activate()
      assert.deepStrictEqual(yield* answer(handle), [8, 2, "stored", false])

      tenant("globex").clients = "no"
      const error = yield* Effect.flip(Config.handle(Limit).pipe(withTenant("globex")))
      assert.strictEqual(error.reason._tag, "Unavailable")
    })
  )

  it.effect("handles need a tenant and a declared key, and show no value if they are printed", () =>
    onPlane(function* () {
      assert.strictEqual((yield* Effect.flip(Config.handle(Limit))).reason._tag, "TenantMissing")
      yield* activate()
      yield* Effect.gen(function* () {
        const undeclared = { ...Burst }
        assert.strictEqual((yield* Effect.flip(Config.handle(undeclared))).reason._tag, "UnknownKey")
        yield* Config.set(ApiKey, "c4n4ry", { actor: "ada" })
        const handle = yield* Config.handle(ApiKey)
        assert.strictEqual(handle.current, "c4n4ry")
        assert.notInclude(JSON.stringify(handle) + String(handle), "c4n4ry")
      }).pipe(withTenant("acme"))
    })
  )

  it.effect("handles of a key beyond maxEntriesPerTenant are not supported", () =>
    onPlane({ maxEntriesPerTenant: 1, tenant: "acme" }, function* () {
      yield* activate()
      assert.strictEqual((yield* Config.handle(Limit)).current, 600)
      const error = yield* Effect.flip(Config.handle(Burst))
      assert.strictEqual(error.reason._tag, "NotSupported")
      assert.include(error.message, "maxEntriesPerTenant")
    })
  )
})

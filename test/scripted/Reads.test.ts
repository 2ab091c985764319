import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Config, CurrentTenant, TenantId, TenantManager, withTenant } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import { activate, limitKey, make, onPlane } from "./ScriptedPlane.ts"

describe("a cached read", () => {
  it.effect("G5: a cached read that was made ahead answers for the tenant it runs for", () =>
    onPlane(function* ({ acme, tenant }) {
      acme.write(limitKey, 1)
      tenant("globex").write(limitKey, 2)
      const eager = Effect.fnUntracedEager(function* () {
        return yield* Config.get(Limit)
      })
      const once = Config.get(Limit)
      yield* activate()
      yield* activate("globex")
      yield* Effect.gen(function* () {
        const ahead = eager()
        for (const read of [ahead, once, Effect.map(once, (value) => value)]) {
          assert.deepStrictEqual([yield* read, yield* read.pipe(withTenant("globex")), yield* read], [1, 2, 1])
        }
      }).pipe(withTenant("acme"))
    })
  )

  it.effect("G5: a cached read of one key and tenant in two planes answers from the plane that is provided", () => {
    const planes = [make(), make({ keys: [Burst, Limit] })]
    for (const [i, plane] of planes.entries()) plane.tenant("acme").write(limitKey, i + 1)
    const read = Effect.all([Config.get(Limit), Config.get(Limit)]).pipe(withTenant("acme"))
    return Effect.gen(function* () {
      const [first, second] = planes.map((plane) => plane.layer)
      yield* Effect.gen(function* () {
        yield* activate()
        assert.deepStrictEqual(yield* read, [1, 1])
        yield* Effect.gen(function* () {
          yield* activate()
          assert.deepStrictEqual(yield* read, [2, 2])
        }).pipe(Effect.provide(second!))
        assert.deepStrictEqual(yield* read, [1, 1])
      }).pipe(Effect.provide(first!))
    })
  })

  it.effect("a cached read of a tenant that was removed and came back answers from its new replica", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      const manager = yield* TenantManager
      acme.write(limitKey, 1)
      yield* activate()
      assert.strictEqual(yield* Config.get(Limit), 1)
      yield* manager.remove("acme")
      acme.write(limitKey, 2)
      assert.strictEqual(yield* Config.get(Limit), 2)
      yield* activate()
      const { statements } = acme
      assert.strictEqual(yield* Config.get(Limit), 2)
      assert.strictEqual(acme.statements, statements)
    })
  )

  it.effect("a cached read of a copy of a declared key fails with UnknownKey", () =>
    onPlane({ tenant: "acme" }, function* () {
      yield* activate()
      assert.strictEqual(yield* Config.get(Limit), 600)
      const copy = { ...Limit }
      assert.strictEqual((yield* Effect.flip(Config.get(copy))).reason._tag, "UnknownKey")
      const snapshot = yield* Config.snapshot
      assert.throws(() => snapshot.get(copy), /not declared|declare/i)
      assert.strictEqual(yield* Config.get(Limit), 600)
    })
  )

  it.effect("a cached read finds the tenant however it was set", () =>
    onPlane(function* () {
      yield* activate()
      const current = Option.some(TenantId.make("acme"))
      assert.strictEqual(yield* Effect.provideService(Config.get(Limit), CurrentTenant, current), 600)
      assert.deepStrictEqual(yield* withTenant("acme")(Effect.service(CurrentTenant)), current)
    })
  )

  it.effect("the snapshot is the same object until something changes", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      yield* activate()
      const snapshot = yield* Config.snapshot
      assert.strictEqual(yield* Config.snapshot, snapshot)
      yield* Config.set(Limit, 7, { actor: "ada" })
      const later = yield* Config.snapshot
      assert.deepStrictEqual([snapshot.get(Limit), later.get(Limit)], [600, 7])
      acme.opening = "hang"
      acme.lose()
      yield* Effect.repeat(Effect.yieldNow, { times: 200 })
      assert.isTrue((yield* Config.snapshot).entry(Limit).stale)
      assert.isFalse(later.entry(Limit).stale)
    })
  )
})

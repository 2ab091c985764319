import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Config, CurrentTenant, TenantId, TenantManager, withTenant } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import { make } from "./plane.ts"

const activate = (tenant: string) => TenantManager.use((manager) => manager.activate(tenant))

describe("a cached read", () => {
  it.effect("G5 made ahead, by an eager function or once for all, answers for the tenant it is run for", () => {
    const plane = make()
    plane.tenant("acme").write(`${Limit.namespace}/${Limit.key}`, 1)
    plane.tenant("globex").write(`${Limit.namespace}/${Limit.key}`, 2)
    const eager = Effect.fnUntracedEager(function* () {
      return yield* Config.get(Limit)
    })
    const once = Config.get(Limit)
    return Effect.gen(function* () {
      yield* activate("acme")
      yield* activate("globex")
      yield* Effect.gen(function* () {
        const ahead = eager()
        for (const read of [ahead, once, Effect.map(once, (value) => value)]) {
          assert.deepStrictEqual([yield* read, yield* read.pipe(withTenant("globex")), yield* read], [1, 2, 1])
        }
      }).pipe(withTenant("acme"))
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("G5 of the same key and tenant in two planes answers from the plane that is provided", () => {
    const planes = [make(), make({ keys: [Burst, Limit] })]
    for (const [i, plane] of planes.entries()) plane.tenant("acme").write(`${Limit.namespace}/${Limit.key}`, i + 1)
    const read = Effect.all([Config.get(Limit), Config.get(Limit)]).pipe(withTenant("acme"))
    return Effect.gen(function* () {
      const [first, second] = planes.map((plane) => plane.layer)
      yield* Effect.gen(function* () {
        yield* activate("acme")
        assert.deepStrictEqual(yield* read, [1, 1])
        yield* Effect.gen(function* () {
          yield* activate("acme")
          assert.deepStrictEqual(yield* read, [2, 2])
        }).pipe(Effect.provide(second!))
        assert.deepStrictEqual(yield* read, [1, 1])
      }).pipe(Effect.provide(first!))
    })
  })

  it.effect("of a tenant that was removed and came back answers from its new scope", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      acme.write(`${Limit.namespace}/${Limit.key}`, 1)
      yield* activate("acme")
      assert.strictEqual(yield* Config.get(Limit), 1)
      yield* manager.remove("acme")
      acme.write(`${Limit.namespace}/${Limit.key}`, 2)
      assert.strictEqual(yield* Config.get(Limit), 2)
      yield* activate("acme")
      const { statements } = acme
      assert.strictEqual(yield* Config.get(Limit), 2)
      assert.strictEqual(acme.statements, statements)
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("of a copy of a declared key is of an unknown one", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate("acme")
      assert.strictEqual(yield* Config.get(Limit), 600)
      const copy = { ...Limit }
      assert.strictEqual((yield* Effect.flip(Config.get(copy))).reason._tag, "UnknownKey")
      const snapshot = yield* Config.snapshot
      assert.throws(() => snapshot.get(copy), /not declared|declare/i)
      assert.strictEqual(yield* Config.get(Limit), 600)
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("finds the tenant however it was set", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate("acme")
      const current = Option.some(TenantId.make("acme"))
      assert.strictEqual(yield* Effect.provideService(Config.get(Limit), CurrentTenant, current), 600)
      assert.deepStrictEqual(yield* withTenant("acme")(Effect.service(CurrentTenant)), current)
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("of one snapshot costs nothing to take again, until something changes", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate("acme")
      const snapshot = yield* Config.snapshot
      assert.strictEqual(yield* Config.snapshot, snapshot)
      yield* Config.set(Limit, 7, { actor: "ada" })
      const later = yield* Config.snapshot
      assert.deepStrictEqual([snapshot.get(Limit), later.get(Limit)], [600, 7])
      plane.tenant("acme").opening = "hang"
      plane.tenant("acme").lose()
      yield* Effect.repeat(Effect.yieldNow, { times: 200 })
      assert.isTrue((yield* Config.snapshot).entry(Limit).stale)
      assert.isFalse(later.entry(Limit).stale)
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })
})

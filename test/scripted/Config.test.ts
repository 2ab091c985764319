import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type Change, Config, ConfigKey, CurrentTenant, TenantId, TenantManager, withTenant } from "effect-systemplane"
import { ApiKey, Burst, Greeting, Limit } from "../support/keys.ts"
import { upsert } from "../support/ScriptedConnector.ts"
import { breathe, make } from "./plane.ts"

const limitKey = `${Limit.namespace}/${Limit.key}`

const activate = (tenant = "acme") => TenantManager.use((manager) => manager.activate(tenant))

const reasonOf = <A, R>(effect: Effect.Effect<A, { readonly reason: { readonly _tag: string } }, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("behaviour 8: what a read needs", () => {
  it.effect("G5 without a tenant, where there may be several, it fails", () => {
    const plane = make()
    return Effect.gen(function* () {
      for (const read of [Config.get(Limit), Config.entry(Limit), Config.list("texts"), Config.snapshot] as const) {
        assert.strictEqual((yield* reasonOf(read as Effect.Effect<unknown, any, Config>))._tag, "TenantMissing")
      }
      assert.strictEqual((yield* reasonOf(Config.set(Limit, 1, { actor: "ada" })))._tag, "TenantMissing")
      assert.strictEqual((yield* reasonOf(Stream.runDrain(Config.watch(Limit))))._tag, "TenantMissing")
      assert.strictEqual(yield* Config.getOrDefault(Limit), 600)
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("with one tenant none need be named, and it is live when the layer is built", () => {
    const plane = make({ tenants: undefined }, Option.some(TenantId.make("only")))
    return Effect.gen(function* () {
      assert.strictEqual(plane.tenant("only").open, 1)
      assert.strictEqual(yield* Config.get(Limit), 600)
      assert.strictEqual(plane.tenant("only").statements, 0)
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("a malformed tenant fails before any I/O", () => {
    const plane = make({ activation: "onDemand" })
    return Effect.gen(function* () {
      for (const tenant of ["", "a b", "../etc", "-a", "a".repeat(257)]) {
        assert.strictEqual((yield* reasonOf(Config.get(Limit).pipe(withTenant(tenant))))._tag, "InvalidTenantId")
      }
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("a key that nobody declared is unknown, also where another has its name", () => {
    const plane = make()
    const other = ConfigKey.make("other", "key", { schema: Schema.Int, defaultValue: 1 })
    const namesake = ConfigKey.make(Limit.namespace, Limit.key, { schema: Schema.Int, defaultValue: 1 })
    return Effect.gen(function* () {
      yield* activate()
      for (const key of [other, namesake]) {
        assert.strictEqual((yield* reasonOf(Config.get(key)))._tag, "UnknownKey")
        assert.strictEqual((yield* reasonOf(Config.set(key, 1, { actor: "ada" })))._tag, "UnknownKey")
      }
      assert.strictEqual((yield* reasonOf(Config.get("other", "key")))._tag, "UnknownKey")
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("a value that does not fit is refused before anything is sent, and never repeated", () => {
    const plane = make()
    return Effect.gen(function* () {
      const canary = "c4n"
      const refused = yield* Effect.flip(Config.set(ApiKey, canary, { actor: "ada" }))
      assert.strictEqual(refused.reason._tag, "InvalidValue")
      assert.notInclude(refused.message + JSON.stringify(refused), canary)
      assert.strictEqual((yield* reasonOf(Config.set(Limit, -1, { actor: "ada" })))._tag, "InvalidValue")
      assert.strictEqual((yield* reasonOf(Config.set(Greeting, "\0", { actor: "ada" })))._tag, "InvalidValue")
      assert.strictEqual((yield* reasonOf(Config.set(Greeting, "x", { actor: "\0" })))._tag, "InvalidValue")
      assert.strictEqual(plane.tenant("acme").statements, 0)
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("a key by its names yields the JSON of the value in force", () => {
    const plane = make()
    return Effect.gen(function* () {
      plane.tenant("acme").write(limitKey, 7)
      yield* activate()
      assert.strictEqual(yield* Config.get(Limit.namespace, Limit.key), 7)
      assert.deepStrictEqual(
        (yield* Config.list(Limit.namespace)).map(({ key, revision, source, value }) => ({
          key,
          revision,
          source,
          value
        })),
        [
          { key: Limit.key, revision: 1, source: "stored", value: 7 },
          { key: Burst.key, revision: 0, source: "default", value: 20 }
        ]
      )
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })
})

describe("reads that go to the database", () => {
  it.effect("of one key share one statement; one that cannot be answered in 5 seconds fails", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    acme.clients = "never"
    return Effect.gen(function* () {
      const reads = yield* Effect.forkScoped(
        Effect.forEach(Array.from({ length: 20 }), () => reasonOf(Config.get(Limit)), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* breathe
      assert.strictEqual(acme.statements, 1)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(new Set((yield* Fiber.join(reads)).map((reason) => reason._tag)), new Set(["Unavailable"]))
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("G3 share no statement that began before our own write", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    return Effect.gen(function* () {
      acme.clientGate.closeUnsafe()
      const before = yield* Effect.forkScoped(Config.get(Limit), { startImmediately: true })
      yield* breathe
      yield* Config.set(Limit, 7, { actor: "ada" })
      const after = yield* Effect.forkScoped(Config.get(Limit), { startImmediately: true })
      yield* breathe
      acme.clientGate.openUnsafe()
      assert.deepStrictEqual([yield* Fiber.join(before), yield* Fiber.join(after)], [600, 7])
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })

  it.effect("of one tenant are at most 8 at once", () => {
    const many = Array.from({ length: 30 }, (_, i) =>
      ConfigKey.make("many", `key-${i}`, { schema: Schema.Int, defaultValue: 0 })
    )
    const plane = make({ keys: many })
    plane.tenant("acme").clients = "never"
    return Effect.gen(function* () {
      yield* Effect.forkScoped(
        Effect.forEach(many, (key) => Effect.exit(Config.get(key)), { concurrency: "unbounded" })
      )
      yield* breathe
      assert.strictEqual(plane.tenant("acme").statements, 8)
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })
})

describe("behaviour 9, G8: subscribers", () => {
  const change = (plane: ReturnType<typeof make>, tenant: string, value: number) =>
    Effect.sync(() => {
      plane.tenant(tenant).write(limitKey, value)
      plane.tenant(tenant).notify(upsert(Limit.namespace, Limit.key))
    })

  it.effect("a handler that fails, dies or hangs disturbs no other handler and no other tenant", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate()
      yield* activate("globex")
      const seen = yield* Queue.unbounded<string>()
      const note = (who: string) => (change: Change<number>) =>
        Queue.offer(seen, `${who} ${change.tenant} ${change.value}`)
      yield* Config.onChange(Limit, () => Effect.fail("no"))
      yield* Config.onChange(Limit, () => Effect.die("no"))
      yield* Config.onChange(Limit, (): Effect.Effect<void> => {
        throw new Error("no")
      })
      yield* Config.onChange(Limit, (change) =>
        change.tenant === "acme" ? Effect.never : Effect.asVoid(note("half")(change))
      )
      yield* Config.onChange(Limit, (change) => Effect.asVoid(note("well")(change)))
      for (const value of [1, 2]) {
        yield* change(plane, "acme", value)
        yield* breathe
        yield* change(plane, "globex", value)
        yield* breathe
      }
      assert.deepStrictEqual((yield* Queue.clear(seen)).sort(), [
        "half globex 1",
        "half globex 2",
        "well acme 1",
        "well acme 2",
        "well globex 1",
        "well globex 2"
      ])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("a slow handler is given the newest, and its changes join up", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate()
      const gate = yield* Deferred.make<void>()
      const seen: Array<readonly [number, number]> = []
      yield* Config.onChange(Limit, ({ previous, value }) => {
        seen.push([previous, value])
        return Deferred.await(gate)
      })
      for (const value of [1, 2, 3, 4]) {
        yield* change(plane, "acme", value)
        yield* breathe
      }
      yield* Deferred.succeed(gate, undefined)
      yield* breathe
      assert.deepStrictEqual(seen, [
        [600, 1],
        [1, 4]
      ])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("a handler runs on behalf of the tenant that changed, until its scope ends", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate()
      const seen: Array<unknown> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Config.onChange(Limit, () =>
            Effect.gen(function* () {
              seen.push(Option.getOrThrow(yield* CurrentTenant), yield* Config.get(Limit))
            })
          )
          yield* change(plane, "acme", 1)
          yield* breathe
        })
      )
      yield* change(plane, "acme", 2)
      yield* breathe
      assert.deepStrictEqual(seen, ["acme", 1])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect("what was in force before this process looked is no change", () => {
    const plane = make()
    return Effect.gen(function* () {
      plane.tenant("acme").write(limitKey, 1)
      const seen: Array<unknown> = []
      yield* Config.onChange(Limit, (change) => Effect.sync(() => seen.push(change.value)))
      yield* activate()
      yield* breathe
      assert.deepStrictEqual(seen, [])
      yield* change(plane, "acme", 2)
      yield* breathe
      assert.deepStrictEqual(seen, [2])
    }).pipe(Effect.provide(plane.layer))
  })

  it.effect(
    "a watcher has the entry as it is, then each newer one, across suspension, removal and re-activation",
    () => {
      const plane = make()
      return Effect.gen(function* () {
        const manager = yield* TenantManager
        plane.tenant("acme").write(limitKey, 1)
        yield* activate()
        const seen: Array<number> = []
        yield* Config.watch(Limit).pipe(
          Stream.runForEach((entry) => Effect.sync(() => seen.push(entry.value))),
          withTenant("acme"),
          Effect.forkScoped({ startImmediately: true })
        )
        yield* breathe
        yield* change(plane, "acme", 2)
        yield* breathe
        yield* manager.suspend("acme")
        plane.tenant("acme").write(limitKey, 3)
        yield* manager.activate("acme")
        yield* breathe
        yield* manager.remove("acme")
        plane.tenant("acme").erase(limitKey)
        yield* manager.activate("acme")
        yield* breathe
        assert.deepStrictEqual(seen, [1, 2, 3, 600])
      }).pipe(Effect.provide(plane.layer))
    }
  )

  it.effect("G6 a bad row leaves the last valid value in force", () => {
    const plane = make()
    return Effect.gen(function* () {
      yield* activate()
      yield* change(plane, "acme", 5)
      yield* breathe
      yield* change(plane, "acme", -5)
      yield* breathe
      assert.deepInclude(yield* Config.entry(Limit), { value: 5, revision: 1 })
      yield* change(plane, "acme", 6)
      yield* breathe
      assert.deepInclude(yield* Config.entry(Limit), { value: 6, revision: 3 })
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })
})

describe("behaviour 7: limits", () => {
  it.effect("keys beyond maxEntriesPerTenant are read through, and cannot be watched", () => {
    const plane = make({ maxEntriesPerTenant: 1 })
    const acme = plane.tenant("acme")
    return Effect.gen(function* () {
      yield* activate()
      assert.strictEqual(yield* Config.get(Limit), 600)
      assert.strictEqual(acme.statements, 0)
      acme.write(`${Burst.namespace}/${Burst.key}`, 9)
      assert.strictEqual(yield* Config.get(Burst), 9)
      assert.strictEqual(acme.statements, 1)
      assert.strictEqual((yield* reasonOf(Stream.runDrain(Config.watch(Burst))))._tag, "NotSupported")
    }).pipe(withTenant("acme"), Effect.provide(plane.layer))
  })
})

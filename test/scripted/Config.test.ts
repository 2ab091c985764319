import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type Change, Config, ConfigKey, CurrentTenant, TenantManager, withTenant } from "effect-systemplane"
import { ApiKey, Burst, Greeting, Limit } from "../support/keys.ts"
import { collect } from "../support/Observe.ts"
import { activate, breathe, burstKey, change, limitKey, make, onPlane } from "./ScriptedPlane.ts"

const reasonOf = <A, R>(effect: Effect.Effect<A, { readonly reason: { readonly _tag: string } }, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("what a read needs", () => {
  it.effect("G5: reads and writes without a tenant fail if there may be several", () =>
    onPlane(function* () {
      for (const read of [Config.get(Limit), Config.entry(Limit), Config.list("texts"), Config.snapshot] as const) {
        assert.strictEqual((yield* reasonOf(read as Effect.Effect<unknown, any, Config>))._tag, "TenantMissing")
      }
      assert.strictEqual((yield* reasonOf(Config.set(Limit, 1, { actor: "ada" })))._tag, "TenantMissing")
      assert.strictEqual((yield* reasonOf(Stream.runDrain(Config.watch(Limit))))._tag, "TenantMissing")
    })
  )

  it.effect("G5: getOrDefault without a tenant dies with the text of get's error", () =>
    onPlane(function* () {
      const failure = yield* Effect.flip(Config.get(Limit))
      for (const read of [Config.getOrDefault(Limit), Config.getOrDefault("rate-limits", "burst")]) {
        const exit = yield* Effect.exit(read as Effect.Effect<unknown, never, Config>)
        assert.isTrue(Exit.hasDies(exit))
        assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), failure.message)
      }
      assert.strictEqual(yield* Config.getOrDefault(Limit).pipe(withTenant("acme")), 600)
    })
  )

  it.effect("with a sole tenant no read names one, and it is live when the layer is built", () =>
    onPlane({ sole: "only", tenants: undefined }, function* ({ tenant }) {
      assert.strictEqual(tenant("only").open, 1)
      assert.strictEqual(yield* Config.get(Limit), 600)
      assert.strictEqual(tenant("only").statements, 0)
    })
  )

  it.effect("a malformed tenant fails before any I/O", () =>
    onPlane({ activation: "onDemand" }, function* () {
      for (const tenant of ["", "a b", "../etc", "-a", "a".repeat(257)]) {
        assert.strictEqual((yield* reasonOf(Config.get(Limit).pipe(withTenant(tenant))))._tag, "InvalidTenantId")
      }
    })
  )

  it.effect("an undeclared key is unknown, even if a declared one has its name", () =>
    onPlane({ tenant: "acme" }, function* () {
      const other = ConfigKey.make("other", "key", { schema: Schema.Int, defaultValue: 1 })
      const namesake = ConfigKey.make(Limit.namespace, Limit.key, { schema: Schema.Int, defaultValue: 1 })
      yield* activate()
      for (const key of [other, namesake]) {
        assert.strictEqual((yield* reasonOf(Config.get(key)))._tag, "UnknownKey")
        assert.strictEqual((yield* reasonOf(Config.set(key, 1, { actor: "ada" })))._tag, "UnknownKey")
      }
      assert.strictEqual((yield* reasonOf(Config.get("other", "key")))._tag, "UnknownKey")
    })
  )

  it.effect("a value that does not fit is refused before anything is sent, and never repeated", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      const canary = "c4n"
      const refused = yield* Effect.flip(Config.set(ApiKey, canary, { actor: "ada" }))
      assert.strictEqual(refused.reason._tag, "InvalidValue")
      assert.notInclude(refused.message + JSON.stringify(refused), canary)
      assert.strictEqual((yield* reasonOf(Config.set(Limit, -1, { actor: "ada" })))._tag, "InvalidValue")
      assert.strictEqual((yield* reasonOf(Config.set(Greeting, "\0", { actor: "ada" })))._tag, "InvalidValue")
      assert.strictEqual((yield* reasonOf(Config.set(Greeting, "x", { actor: "\0" })))._tag, "InvalidActor")
      assert.strictEqual((yield* reasonOf(Config.set(Greeting, "x", { actor: " " })))._tag, "InvalidActor")
      for (const change of [{ reason: "\ud800" }, { changeId: "42" }]) {
        const { _tag } = yield* reasonOf(Config.remove(Greeting, { actor: "ada", ...change }))
        assert.strictEqual(_tag, "InvalidChange")
      }
      assert.strictEqual(acme.statements, 0)
    })
  )

  it.effect("a key by its names yields the JSON of the value in force", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      acme.write(limitKey, 7)
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
    })
  )
})

describe("reads that go to the database", () => {
  it.effect(
    "reads that go to the database of one key share one statement; one that cannot be answered in 5 seconds fails",
    () =>
      onPlane({ tenant: "acme" }, function* ({ acme }) {
        acme.clients = "never"
        const reads = yield* Effect.forkScoped(
          Effect.forEach(Array.from({ length: 20 }), () => reasonOf(Config.get(Limit)), { concurrency: "unbounded" }),
          { startImmediately: true }
        )
        yield* breathe
        assert.strictEqual(acme.statements, 1)
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(
          new Set((yield* Fiber.join(reads)).map((reason) => reason._tag)),
          new Set(["Unavailable"])
        )
      })
  )

  it.effect("G3: reads after our own write share no statement that began before it", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      acme.clientGate.closeUnsafe()
      const before = yield* Effect.forkScoped(Config.get(Limit), { startImmediately: true })
      yield* breathe
      yield* Config.set(Limit, 7, { actor: "ada" })
      const after = yield* Effect.forkScoped(Config.get(Limit), { startImmediately: true })
      yield* breathe
      acme.clientGate.openUnsafe()
      assert.deepStrictEqual([yield* Fiber.join(before), yield* Fiber.join(after)], [600, 7])
    })
  )

  it.effect("reads that go to the database of one tenant are at most 8 at once", () => {
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

describe("subscribers", () => {
  it.effect("G8: a handler that fails, dies or hangs disturbs no other handler and no other tenant", () =>
    onPlane(function* ({ acme, tenant }) {
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
        yield* change(acme, value)
        yield* change(tenant("globex"), value)
      }
      assert.deepStrictEqual((yield* Queue.clear(seen)).sort(), [
        "half globex 1",
        "half globex 2",
        "well acme 1",
        "well acme 2",
        "well globex 1",
        "well globex 2"
      ])
    })
  )

  it.effect("G8: a slow handler is given the newest value, and its changes join up", () =>
    onPlane(function* ({ acme }) {
      yield* activate()
      const gate = yield* Deferred.make<void>()
      const seen: Array<readonly [number, number]> = []
      yield* Config.onChange(Limit, ({ previous, value }) => {
        seen.push([previous, value])
        return Deferred.await(gate)
      })
      for (const value of [1, 2, 3, 4]) {
        yield* change(acme, value)
      }
      yield* Deferred.succeed(gate, undefined)
      yield* breathe
      assert.deepStrictEqual(seen, [
        [600, 1],
        [1, 4]
      ])
    })
  )

  it.effect("a handler runs as the tenant that changed, until its scope ends", () =>
    onPlane(function* ({ acme }) {
      yield* activate()
      const seen: Array<unknown> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Config.onChange(Limit, () =>
            Effect.gen(function* () {
              seen.push(Option.getOrThrow(yield* CurrentTenant), yield* Config.get(Limit))
            })
          )
          yield* change(acme, 1)
        })
      )
      yield* change(acme, 2)
      assert.deepStrictEqual(seen, ["acme", 1])
    })
  )

  it.effect(
    "G8: a subscriber is given a value that a first load finds, and what changed while the tenant was gone",
    () =>
      onPlane(function* ({ acme, tenant }) {
        acme.write(limitKey, 1)
        const seen: Array<readonly [string, number, number]> = []
        yield* Config.onChange(Limit, ({ previous, tenant, value }) =>
          Effect.sync(() => seen.push([tenant, previous, value]))
        )
        const manager = yield* TenantManager
        yield* activate()
        yield* activate("globex")
        yield* breathe
        assert.deepStrictEqual(seen.splice(0), [["acme", 600, 1]], "of globex, at its default, nothing is told")

        // One that subscribes later begins with what is loaded and not the default.
        const late = yield* collect(Config.changes(Limit))
        yield* breathe
        assert.deepStrictEqual(
          late.map(({ previous, tenant, value }) => [tenant, previous, value]),
          [["acme", 600, 1]]
        )

        yield* change(acme, 2)
        assert.deepStrictEqual(seen.splice(0), [["acme", 1, 2]])
        for (const [leave, value] of [
          [manager.remove, 3],
          [manager.suspend, 4]
        ] as const) {
          yield* leave("acme")
          acme.write(limitKey, value)
          yield* breathe
          assert.deepStrictEqual(seen, [], "nothing is told of a tenant that is gone")
          yield* activate()
          yield* breathe
          assert.deepStrictEqual(seen.splice(0), [["acme", value - 1, value]])
          yield* leave("acme")
          yield* activate()
          yield* breathe
          assert.deepStrictEqual(seen, [], "nor of one that comes back as it was")
        }
        yield* manager.remove("acme")
        acme.erase(limitKey)
        yield* activate()
        yield* breathe
        assert.deepStrictEqual(seen.splice(0), [["acme", 4, 600]], "the default is announced if it was another value")
        yield* change(tenant("globex"), 5)
        assert.deepStrictEqual(seen.splice(0), [["globex", 600, 5]])
        const last = late.at(-1)
        assert.deepStrictEqual([last?.tenant, last?.value, last?.updatedBy], ["globex", 5, "stranger"])
        assert.isDefined(last?.updatedAt)
      })
  )

  it.effect("a watcher has the entry as it is, then each newer one, across suspension, removal and re-activation", () =>
    onPlane(function* ({ acme }) {
      const manager = yield* TenantManager
      acme.write(limitKey, 1)
      yield* activate()
      const seen: Array<number> = []
      yield* Config.watch(Limit).pipe(
        Stream.runForEach((entry) => Effect.sync(() => seen.push(entry.value))),
        withTenant("acme"),
        Effect.forkScoped({ startImmediately: true })
      )
      yield* breathe
      yield* change(acme, 2)
      yield* manager.suspend("acme")
      acme.write(limitKey, 3)
      yield* manager.activate("acme")
      yield* breathe
      yield* manager.remove("acme")
      acme.erase(limitKey)
      yield* manager.activate("acme")
      yield* breathe
      assert.deepStrictEqual(seen, [1, 2, 3, 600])
    })
  )

  it.effect("G6: a bad row that is pushed leaves the last valid value in force", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      yield* activate()
      yield* change(acme, 5)
      yield* change(acme, -5)
      assert.deepInclude(yield* Config.entry(Limit), { value: 5, revision: 1 })
      yield* change(acme, 6)
      assert.deepInclude(yield* Config.entry(Limit), { value: 6, revision: 3 })
    })
  )

  it.effect("G6: a history that does not answer about a bad row delays no read and no write of another key", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      yield* activate()
      yield* TenantManager.use((manager) => manager.suspend("acme"))
      acme.recalling = "never"
      acme.write(limitKey, -5)
      const read = yield* Effect.forkScoped(Config.entry(Limit), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(read)).value, 600)
      // No time passes by the clock.
      const others = yield* Effect.forkScoped(
        Effect.andThen(Config.get(Burst), Config.set(Burst, 9, { actor: "ada" })),
        { startImmediately: true }
      )
      yield* breathe
      assert.deepInclude(others.pollUnsafe(), { _tag: "Success" })
    })
  )
})

describe("limits", () => {
  it.effect("keys beyond maxEntriesPerTenant are read through, and cannot be watched", () =>
    onPlane({ maxEntriesPerTenant: 1, tenant: "acme" }, function* ({ acme }) {
      yield* activate()
      assert.strictEqual(yield* Config.get(Limit), 600)
      assert.strictEqual(acme.statements, 0)
      acme.write(burstKey, 9)
      assert.strictEqual(yield* Config.get(Burst), 9)
      assert.strictEqual(acme.statements, 1)
      assert.strictEqual((yield* reasonOf(Stream.runDrain(Config.watch(Burst))))._tag, "NotSupported")
    })
  )
})

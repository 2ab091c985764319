import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, DateTime, Effect, Exit, Fiber, Layer, Option, Random, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Change,
  ChangeHistory,
  Config,
  ConfigKey,
  Entry,
  KeyCatalog,
  KeyRegistry,
  TenantManager,
  withTenant
} from "effect-systemplane"
import { MemoryDriver, SystemplaneMemory, type SystemplaneMemoryOptions } from "effect-systemplane/testing"
import * as keys from "../support/keys.ts"
import { Burst, Greeting, Limit } from "../support/keys.ts"
import { collect, counted } from "../support/Observe.ts"
import { silent } from "../support/TestPlane.ts"

const planeWith = (options: Partial<SystemplaneMemoryOptions> = {}) =>
  SystemplaneMemory({ keys: keys.all, tenants: ["acme"], seedDefaults: false, ...options }).pipe(Layer.provide(silent))

const onPlane = <A, E>(test: Effect.Effect<A, E, any>, options?: Partial<SystemplaneMemoryOptions>) =>
  test.pipe(withTenant("acme"), Effect.scoped, Effect.provide(planeWith(options))) as Effect.Effect<A, unknown>

/** A key whose JSON is not its value. */
const Deadline = ConfigKey.make("times", "deadline", {
  schema: Schema.DateTimeUtcFromString,
  defaultValue: DateTime.makeUnsafe("2026-01-01T00:00:00Z")
})
const all = [...keys.all, Deadline]
const [namespace, name] = [Deadline.namespace, Deadline.key]
const second = "2026-02-02T00:00:00.000Z"

describe("a plane that closes", () => {
  it.effect(
    "G12: streams end, calls under way and later ones fail with Closed, and none is interrupted",
    () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const plane = yield* planeWith({ drainTimeout: "1 second" }).pipe(Layer.buildWithScope(scope))
        const manager = yield* Effect.provideContext(TenantManager, plane)
        yield* manager.suspend("acme")
        const reading = [
          Stream.runDrain(Config.watch(Limit)),
          ChangeHistory.use((history) => Stream.runDrain(history.since(undefined))),
          ChangeHistory.use((history) => history.list()),
          ChangeHistory.use((history) => history.verify),
          ChangeHistory.use((history) => history.rollback(Limit, { to: 7, actor: "ada" })),
          KeyCatalog.use((catalog) => catalog.read),
          Config.entry(Limit),
          Config.snapshot,
          Config.list(Limit.namespace)
        ].map((call) =>
          Effect.exit(Effect.asVoid<unknown, unknown, any>(call)).pipe(withTenant("acme"), Effect.provideContext(plane))
        )
        const changes = yield* Stream.runDrain(Config.changes(Limit)).pipe(
          Effect.provideContext(plane),
          Effect.forkChild
        )
        yield* Effect.provideContext(
          Effect.flatMap(MemoryDriver.tenant("acme"), ({ client }) => client.set({ requests: "hold" })),
          plane
        )
        const underWay = yield* Effect.forEach(reading, (call) => Effect.forkChild(call, { startImmediately: true }))
        yield* Effect.yieldNow
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(closing)
        yield* Fiber.join(changes)
        const exits = [...(yield* Effect.forEach(underWay, Fiber.join)), ...(yield* Effect.all(reading))]
        const reasons = exits.map((exit: any) => exit.cause?.reasons[0]?.error?.reason?._tag)
        assert.deepStrictEqual(
          reasons,
          exits.map(() => "Closed")
        )
      }) as Effect.Effect<void, unknown>
  )
})

describe("Config by names", () => {
  it.effect("every member that takes a key takes its names, and works with the JSON of its values", () =>
    onPlane(
      Effect.gen(function* () {
        const first = "2026-01-01T00:00:00.000Z"
        const handled: Array<unknown> = []
        yield* Config.onChange(namespace, name, ({ previous, value }) =>
          Effect.sync(() => handled.push([previous, value]))
        )
        const changes = yield* collect(Config.changes(namespace, name))
        const handle = yield* Config.handle(namespace, name)
        assert.strictEqual(yield* Config.get(namespace, name), first)
        assert.strictEqual((yield* Config.set(namespace, name, second, { actor: "ada" })).value, second)
        assert.strictEqual(yield* Config.getOrDefault(namespace, name), second)
        assert.strictEqual((yield* Config.entry(namespace, name)).value, second)
        assert.deepStrictEqual([handle.current, yield* handle, handle.entry.value], [second, second, second])
        const watched = yield* Stream.runHead(Config.watch(namespace, name))
        assert.strictEqual(Option.getOrThrow(watched).value, second)
        yield* TestClock.adjust("1 second")
        const removed = yield* Config.remove(namespace, name, { actor: "ada" })
        assert.deepStrictEqual([removed.value, removed.revision], [first, 0])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(handled.at(-1), [second, first])
        const last = changes.at(-1)
        assert.deepStrictEqual([last?.previous, last?.value, last?.updatedBy], [second, first, undefined])
      }),
      { keys: all }
    )
  )

  it.effect("JSON that does not fit is refused before anything is sent; names that are not declared are unknown", () =>
    onPlane(
      Effect.gen(function* () {
        const refused = yield* Effect.flip(Config.set(namespace, name, "soon", { actor: "ada" }))
        assert.strictEqual(refused.reason._tag, "InvalidValue")
        const acme = yield* MemoryDriver.tenant("acme")
        assert.deepStrictEqual(yield* acme.rows, [])
        for (const failing of [
          Config.get("times", "other"),
          Config.entry("times", "other"),
          Config.handle("times", "other"),
          Config.set("times", "other", 1, { actor: "ada" }),
          Config.remove("times", "other", { actor: "ada" }),
          Stream.runHead(Config.watch("times", "other")),
          Config.list("other")
        ] as ReadonlyArray<Effect.Effect<unknown, { readonly reason: { readonly _tag: string } }, Config>>) {
          assert.strictEqual((yield* Effect.flip(failing)).reason._tag, "UnknownKey")
        }
        for (const dying of [
          Config.getOrDefault("times", "other"),
          Stream.runHead(Config.changes("times", "other")),
          Effect.scoped(Config.onChange("times", "other", () => Effect.void))
        ] as ReadonlyArray<Effect.Effect<unknown, never, Config>>) {
          const exit = yield* Effect.exit(dying)
          assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), "times/other")
        }
      }),
      { keys: all }
    )
  )

  it.effect("arrays of keys of different types pass through without a cast", () =>
    onPlane(
      Effect.gen(function* () {
        const some = [Limit, Greeting]
        const values: Array<number | string> = yield* Effect.forEach(some, (key) => Config.get(key))
        assert.deepStrictEqual(values, [600, "hello"])
        assert.deepStrictEqual(yield* Effect.forEach(some, Config.get), values)
        const entries = yield* Effect.forEach(some, (key) => Config.set(key, key.defaultValue, { actor: "ada" }))
        assert.deepStrictEqual(
          entries.map(({ value }) => value),
          values
        )
        const any: ReadonlyArray<ConfigKey.Any> = some
        for (const key of any) {
          yield* Config.onChange(key, () => Effect.void)
          assert.strictEqual((yield* Config.handle(key)).current, key.defaultValue)
          assert.strictEqual(yield* Config.getOrDefault(key), key.defaultValue)
          yield* Stream.runHead(Config.watch(key))
          yield* Config.remove(key, { actor: "ada" })
        }
      })
    )
  )
})

describe("reads that memory answers are counted alike", () => {
  it.effect("get, getOrDefault, entry, snapshot, list, getGroup and handles; those of the database are misses", () =>
    onPlane(
      Effect.gen(function* () {
        const group = ConfigKey.group("counted", { one: { schema: Schema.Int, defaultValue: 1 } })
        const hits = counted("get_cache_hits_total", "acme")
        const counts = (read: Effect.Effect<unknown, unknown, Config>) =>
          Effect.gen(function* () {
            const before = yield* hits
            yield* read
            return (yield* hits) - before
          })
        const handle = yield* Config.handle(Limit)
        const reads = [
          Config.get(Limit),
          Config.get("rate-limits", "burst"),
          Config.getOrDefault(Limit),
          Config.entry(Limit),
          Config.snapshot,
          Config.list("texts"),
          Config.handle(Limit),
          Effect.gen(function* () {
            return yield* handle
          }),
          Effect.sync(() => handle.current),
          Effect.sync(() => handle.entry)
        ]
        for (const read of reads) assert.strictEqual(yield* counts(read), 1)
        assert.strictEqual(group.all.length, 1)
        // Not from memory: counted as a miss, once.
        const manager = yield* TenantManager
        yield* manager.suspend("acme")
        for (const read of reads.slice(0, 6)) assert.strictEqual(yield* counts(read), 1)
      })
    )
  )
})

describe("what readers share", () => {
  it.effect("G5: no reader changes what another is given: snapshots, entries, statuses and the declared keys", () =>
    onPlane(
      Effect.gen(function* () {
        const manager = yield* TenantManager
        const statuses = yield* collect(manager.statusChanges)
        const live = [yield* Config.snapshot, yield* Config.entry(Limit), ...(yield* manager.statuses)]
        yield* manager.suspend("acme")
        // Read from the database, as readers that ask at the same time share it.
        const one = yield* Config.entry(Deadline)
        const registry = yield* KeyRegistry
        const shared = [...live, one, ...statuses, ...statuses.map(({ warnings }) => warnings), registry.keys]
        assert.isAbove(statuses.length, 0)
        for (const part of shared) assert.isFrozen(part)
      }),
      { keys: all }
    )
  )
})

describe("an entry says when it was confirmed", () => {
  it.effect("G4: an entry is confirmed as of when the database was asked, whatever its row is stamped with", () =>
    onPlane(
      Effect.gen(function* () {
        yield* TestClock.adjust("1 hour")
        const acme = yield* MemoryDriver.tenant("acme")
        // Stamped a second after it was sent. By a clock that is ahead it could be hours, and the value be replaced since.
        yield* acme.client.set({ requests: "hold" })
        const writing = yield* Effect.forkScoped(Config.set(Limit, 7, { actor: "ada" }), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        yield* acme.client.set({ requests: "pass" })
        yield* TestClock.adjust("10 millis")
        const { confirmedAt, stale, updatedAt } = yield* Fiber.join(writing)
        assert.isFalse(stale)
        const asked = DateTime.toEpochMillis(confirmedAt!)
        assert.deepStrictEqual([asked, DateTime.toEpochMillis(updatedAt!)], [3_600_000, 3_601_000])
      })
    )
  )
})

describe("entries that no application declares", () => {
  it.effect(
    "entries that no application declares are counted in the status of their tenant, and named in the catalogue",
    () =>
      onPlane(
        Effect.gen(function* () {
          const acme = yield* MemoryDriver.tenant("acme")
          const slip = { namespace: "rate-limit", key: "burst" }
          yield* acme.write(slip, 7)
          yield* TenantManager.use((manager) => Effect.andThen(manager.remove("acme"), manager.activate("acme")))
          const [status] = yield* TenantManager.use((manager) => manager.statuses)
          assert.strictEqual(status?.undeclared, 1)
          assert.deepStrictEqual((yield* KeyCatalog.read).unknown, [slip])
        }),
        { seedDefaults: true }
      )
  )
})

describe("the memory plane", () => {
  const outage = (options?: { readonly random: boolean }) =>
    Effect.gen(function* () {
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.feed.set({ connections: "refuse" })
      yield* acme.feed.disconnect
      yield* TestClock.adjust("2 minutes")
      return yield* acme.feed.attempts
    }).pipe(Effect.provide(planeWith()), options?.random ? fixed : (effect) => effect)
  const fixed = Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => 0.5 })

  it.effect("the memory plane draws the same delays each time, unless it is given a Random", () =>
    Effect.gen(function* () {
      const first = yield* outage()
      assert.isAbove(first.length, 4)
      const relative = (attempts: ReadonlyArray<number>) =>
        attempts.slice(0, 8).map((at) => Math.round(at - attempts[0]!))
      assert.deepStrictEqual(relative(yield* outage()), relative(first))
      const given = relative(yield* outage({ random: true }))
      assert.notDeepEqual(given, relative(first))
      assert.deepStrictEqual(relative(yield* outage({ random: true })), given)
    })
  )

  it.effect(
    "G11: reconnects alike in eight runs, two planes at once, and tenants that are activated later or by a read",
    () => {
      const tenants = ["acme", "later", "asked"]
      /** What the tenants of two planes do in an outage, by the milliseconds at which it happens. */
      const run = Effect.gen(function* () {
        const began = yield* Clock.currentTimeMillis
        const planes = yield* Effect.all([Layer.build(planeWith()), Layer.build(planeWith())])
        const onEach = <A, E>(effect: Effect.Effect<A, E, Config | TenantManager | MemoryDriver>) =>
          Effect.forEach(planes, (plane) => Effect.provideContext(effect, plane))
        const statuses = onEach(
          Effect.flatMap(TenantManager, (manager) =>
            Effect.forEach(tenants, (tenant) =>
              Effect.map(
                manager.status(tenant),
                Option.map(({ failures, state }) => `${state} ${failures}`)
              )
            )
          )
        )
        yield* TestClock.adjust("10 seconds")
        yield* onEach(TenantManager.use((manager) => manager.activate("later")))
        yield* onEach(Config.get(Limit).pipe(withTenant("asked")))
        yield* TestClock.adjust("1 second")
        const seen: Array<unknown> = []
        for (const tenant of tenants) {
          const feeds = yield* onEach(Effect.map(MemoryDriver.tenant(tenant), ({ feed }) => feed))
          yield* Effect.forEach(feeds, (feed) => Effect.andThen(feed.set({ connections: "refuse" }), feed.disconnect))
          yield* TestClock.adjust("1500 millis")
          seen.push(yield* statuses)
        }
        yield* TestClock.adjust("1 minute")
        for (const tenant of tenants) {
          const attempts = yield* onEach(Effect.flatMap(MemoryDriver.tenant(tenant), ({ feed }) => feed.attempts))
          seen.push(attempts.map((each) => each.map((at) => Math.round(at - began))))
        }
        return seen
      }).pipe(Effect.scoped)
      return Effect.gen(function* () {
        const first = yield* run
        for (let runs = 1; runs < 8; runs++) assert.deepStrictEqual(yield* run, first)
      })
    }
  )

  it.effect("a key without a write is its default", () =>
    onPlane(Effect.map(Config.get(Burst), (value) => assert.strictEqual(value, 20)))
  )
})

describe("SystemplaneMemory.values", () => {
  const limit = Effect.gen(function* () {
    const handle = yield* Config.handle(Limit)
    const snapshot = yield* Config.snapshot
    return [yield* Config.get(Limit), (yield* Config.entry(Limit)).value, handle.current, snapshot.get(Limit)]
  })

  it.effect("a list is what every tenant has, and what a read without a tenant finds", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* limit, [5, 5, 5, 5])
      assert.deepStrictEqual(yield* limit.pipe(withTenant("acme")), [5, 5, 5, 5])
      assert.strictEqual(yield* Config.get(Burst), 20)
      yield* Config.set(Limit, 6, { actor: "ada" }).pipe(withTenant("acme"))
      assert.strictEqual(yield* Config.get(Limit).pipe(withTenant("acme")), 6)
      assert.strictEqual(yield* Config.get(Limit), 5)
    }).pipe(Effect.provide(SystemplaneMemory.values([ConfigKey.value(Limit, 5)], { keys: [Burst] })))
  )

  it.effect("a record is what each tenant of it has", () =>
    Effect.gen(function* () {
      for (const [tenant, value] of [
        ["acme", 5],
        ["globex", 7],
        ["initech", 600],
        ["constructor", 600]
      ] as const) {
        assert.deepStrictEqual(yield* limit.pipe(withTenant(tenant)), [value, value, value, value])
      }
      assert.strictEqual((yield* Effect.flip(Config.get(Limit))).reason._tag, "TenantMissing")
    }).pipe(
      Effect.provide(
        SystemplaneMemory.values({ acme: [ConfigKey.value(Limit, 5)], globex: [ConfigKey.value(Limit, 7)] })
      )
    )
  )

  it.effect("a value that does not fit is a defect that names the key", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.provide(limit, SystemplaneMemory.values([ConfigKey.value(Limit, -1)])))
      assert.isTrue(Exit.hasDies(exit))
      assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), "rate-limits/requests-per-minute")
    })
  )
})

describe("Change.schema", () => {
  it.effect("Change.schema encodes the changes of a key as JSON, and decodes them", () =>
    onPlane(
      Effect.gen(function* () {
        const schema = Schema.fromJsonString(Change.schema(Deadline))
        yield* Config.set(Deadline, DateTime.makeUnsafe(second), { actor: "ada" })
        const change = yield* Effect.fromOption(yield* Stream.runHead(Config.changes(Deadline)))
        const decoded = yield* Schema.decodeEffect(schema)(yield* Schema.encodeEffect(schema)(change))
        for (const field of Object.keys(change) as Array<keyof typeof change>) {
          assert.deepStrictEqual(decoded[field], change[field], field)
        }
      }),
      { keys: all }
    )
  )
})

describe("Entry.schema", () => {
  it.effect("Entry.schema encodes the entries of a key as JSON, and decodes them", () =>
    onPlane(
      Effect.gen(function* () {
        const schema = Schema.fromJsonString(Entry.schema(Deadline))
        yield* TestClock.adjust("1 hour")
        const entries = [
          yield* Config.entry(Deadline),
          yield* Config.set(Deadline, DateTime.makeUnsafe(second), { actor: "ada" })
        ]
        for (const entry of entries) {
          const text = yield* Schema.encodeEffect(schema)(entry)
          assert.include(text, DateTime.formatIso(entry.value))
          const decoded = yield* Schema.decodeEffect(schema)(text)
          for (const field of Object.keys(entry) as Array<keyof typeof entry>) {
            assert.deepStrictEqual(decoded[field], entry[field], field)
          }
        }
      }),
      { keys: all }
    )
  )
})

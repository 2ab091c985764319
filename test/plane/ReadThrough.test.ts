import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger, Redacted, References, Schema, Stream } from "effect"
import {
  Config,
  type ConfigError,
  ConfigKey,
  Ddl,
  KeyRegistry,
  PgConnector,
  type ReadThroughOptions,
  SystemplaneReadThrough,
  withTenant
} from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as PgSeeding from "../../src/layers/postgres/PgSeeding.ts"
import * as CountingConnector from "../support/CountingConnector.ts"
import * as keys from "../support/keys.ts"
import { ApiKey, Burst, Feature, Greeting, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import { silent } from "../support/TestPlane.ts"

const actor = { actor: "ada" }

const limits = ConfigKey.group("grouped", {
  perMinute: { schema: Schema.Int, defaultValue: 1 },
  perHour: { schema: Schema.Int, defaultValue: 2 }
})

const Stray = ConfigKey.make("texts", "stray", { schema: Schema.String, defaultValue: "" })

/** Runs a test on behalf of acme, on a prepared database of its own, and counts what is sent. */
const onAcme = <A, E>(
  test: (acme: TestDatabase.TestDatabase, sent: CountingConnector.Sent) => Effect.Effect<A, E, Config | KeyRegistry>,
  options: Partial<ReadThroughOptions> & { readonly prepared?: boolean } = {}
) =>
  Effect.gen(function* () {
    const { prepared = true, ...rest } = options
    const acme = yield* TestDatabase.make
    if (prepared) yield* prepare(acme)
    const { layer, sent } = CountingConnector.make(PgConnector.layerRecord({ acme: { url: acme.url } }))
    const plane = SystemplaneReadThrough({ keys: [...keys.all, ...limits.all], ...rest }).pipe(Layer.provide(layer))
    return yield* test(acme, sent).pipe(withTenant("acme"), Effect.provide(plane))
  }).pipe(Effect.provide(silent))

const prepare = (database: TestDatabase.TestDatabase) =>
  Effect.forEach(
    Ddl.parts.flatMap(({ statements }) => statements),
    (statement) => database.run(statement),
    { discard: true }
  )

/** How many statements an effect sends. */
const costOf = <A, E, R>(sent: CountingConnector.Sent, effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const before = sent.statements.length
    return Effect.map(effect, (value) => [value, sent.statements.length - before] as const)
  })

const reasonOf = <A, R>(effect: Effect.Effect<A, ConfigError, R>) => Effect.map(Effect.flip(effect), (e) => e.reason)

describe("SystemplaneReadThrough", () => {
  it.live("every read is one statement, fresh, and nothing listens", () =>
    onAcme((acme, sent) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* costOf(sent, Config.get(Limit)), [600, 1])
        const revision = yield* acme.write(Limit.namespace, Limit.key, 7)
        assert.deepStrictEqual(yield* costOf(sent, Config.get(Limit)), [7, 1])
        assert.deepStrictEqual(yield* costOf(sent, Config.get(Limit.namespace, Limit.key)), [7, 1])
        assert.deepStrictEqual(yield* costOf(sent, Config.getOrDefault(Limit)), [7, 1])
        const [entry, cost] = yield* costOf(sent, Config.entry(Limit))
        assert.strictEqual(cost, 1)
        assert.deepInclude(entry, { value: 7, revision, source: "stored", stale: false, updatedBy: "stranger" })
        assert.isDefined(entry.confirmedAt)

        const [snapshot, ofSnapshot] = yield* costOf(sent, Config.snapshot)
        assert.deepStrictEqual([ofSnapshot, snapshot.get(Limit), snapshot.get(Greeting)], [1, 7, "hello"])
        assert.throws(() => snapshot.get(Stray), /No key texts\/stray is declared/)

        yield* acme.write("grouped", "per-hour", 9)
        assert.deepStrictEqual(yield* costOf(sent, Config.getGroup(limits)), [{ perMinute: 1, perHour: 9 }, 1])
        const [entries, ofList] = yield* costOf(sent, Config.list(Limit.namespace))
        assert.deepStrictEqual(
          [ofList, ...entries.map(({ key, source, value }) => [key, source, value])],
          [1, [Limit.key, "stored", 7], [Burst.key, "default", 20]]
        )
        const [nowhere, ofNowhere] = yield* costOf(sent, reasonOf(Config.list("nowhere")))
        assert.deepStrictEqual([nowhere._tag, ofNowhere], ["UnknownKey", 0])

        assert.deepStrictEqual([sent.sessions, sent.clients], [0, 1])
        assert.strictEqual(yield* acme.listeners, 0)
      })
    )
  )

  it.live(
    "G9: a snapshot that is read through is one state of the database, while a foreign writer flips two keys",
    () =>
      onAcme((acme) =>
        Effect.gen(function* () {
          const flip = (i: number) =>
            acme.transaction(
              Effect.andThen(acme.write("grouped", "per-minute", i), acme.write("grouped", "per-hour", i))
            )
          yield* flip(0)
          let stop = false
          const seen = new Set<number>()
          const reader = Effect.gen(function* () {
            while (!stop) {
              const { perHour, perMinute } = yield* Config.getGroup(limits)
              assert.strictEqual(perHour, perMinute)
              seen.add(perHour)
            }
          })
          const writer = Effect.forEach(
            Array.from({ length: 300 }, (_, i) => i + 1),
            flip,
            { discard: true }
          )
          yield* Effect.all(
            [
              reader,
              Effect.ensuring(
                writer,
                Effect.sync(() => {
                  stop = true
                })
              )
            ],
            { concurrency: 2 }
          )
          assert.isAbove(seen.size, 20, "the reader saw many states")
        })
      )
  )

  it.live("SystemplaneReadThrough prepares nothing unless asked for", () =>
    Effect.gen(function* () {
      yield* onAcme(
        (acme) =>
          Effect.gen(function* () {
            const reason = yield* reasonOf(Config.get(Limit))
            assert.strictEqual(reason._tag, "Unavailable")
            assert.include(reason.message, "run Ddl.sql")
            assert.strictEqual(yield* Config.getOrDefault(Limit), 600)
            assert.deepStrictEqual(yield* acme.run("SELECT 1 FROM pg_class WHERE relname LIKE 'systemplane%'"), [])
            // It is tried again by the next one, and works once the database was prepared.
            yield* prepare(acme)
            assert.strictEqual(yield* Config.get(Limit), 600)
            assert.deepStrictEqual(yield* acme.run("SELECT 1 FROM systemplane_entries"), [])
          }),
        { prepared: false }
      )
      yield* onAcme(
        (acme, sent) =>
          Effect.gen(function* () {
            yield* Effect.all([Config.get(Limit), Config.get(Burst), Config.get(Greeting)], {
              concurrency: "unbounded"
            })
            const rows = yield* acme.run(
              "SELECT DISTINCT split_part(updated_by, ':', 1) AS by FROM systemplane_entries"
            )
            assert.deepStrictEqual(rows, [{ by: "systemplane.manager" }])
            const seeds = sent.statements.filter((sql) => sql === PgSeeding.insertSeeds)
            assert.strictEqual(seeds.length, 1, "prepared once, by the first of three reads")
            assert.deepStrictEqual((yield* costOf(sent, Config.get(Limit)))[1], 1)
          }),
        { prepared: false, bootstrap: "ensure", seedDefaults: true }
      )
    })
  )

  it.live("SystemplaneReadThrough verifies if asked for, says what is missing, and looks again after a failure", () =>
    onAcme(
      (acme) =>
        Effect.gen(function* () {
          const reason = yield* reasonOf(Config.set(Limit, 1, actor))
          assert.strictEqual(reason._tag, "Unavailable")
          assert.include(reason.message, "the schema is missing")
          yield* prepare(acme)
          assert.deepInclude(yield* Config.set(Limit, 1, actor), { value: 1 })
        }),
      { prepared: false, bootstrap: "verify" }
    )
  )

  it.live("SystemplaneReadThrough writes as the live plane does: guarded, atomic, refused before it sends", () =>
    onAcme((acme, sent) =>
      Effect.gen(function* () {
        const [first, cost] = yield* costOf(sent, Config.set(Limit, 1, { ...actor, ifRevision: 0 }))
        assert.strictEqual(cost, 1)
        assert.deepInclude(first, { value: 1, updatedBy: "ada", source: "stored", stale: false })
        assert.deepInclude(yield* reasonOf(Config.set(Limit, 2, { ...actor, ifRevision: 0 })), {
          _tag: "RevisionConflict",
          expected: 0,
          actual: first.revision
        })
        const [refused, none] = yield* costOf(sent, reasonOf(Config.set(Limit, -1, actor)))
        assert.deepStrictEqual([refused._tag, none], ["InvalidValue", 0])

        const both = yield* Config.setAll([ConfigKey.value(Limit, 3), ConfigKey.value(Burst, 4)], actor)
        assert.deepStrictEqual(
          both.map(({ value }) => value),
          [3, 4]
        )
        const conflict = Config.setAll(
          [ConfigKey.value(Burst, 5), ConfigKey.value(Limit, 5, { ifRevision: first.revision })],
          actor
        )
        assert.strictEqual((yield* reasonOf(conflict))._tag, "RevisionConflict")
        assert.strictEqual(yield* Config.get(Burst), 4)

        const removed = yield* Config.remove(Limit, { ...actor, ifRevision: both[0]!.revision })
        assert.deepInclude(removed, { value: 600, revision: 0, source: "default", updatedBy: undefined })
        assert.deepStrictEqual(yield* acme.run("SELECT key FROM systemplane_entries"), [{ key: Burst.key }])
        assert.deepStrictEqual(yield* Config.setAll([], actor), [])
        assert.strictEqual((yield* reasonOf(Config.set(Stray, "x", actor)))._tag, "UnknownKey")
        assert.strictEqual((yield* reasonOf(Config.remove(Limit, { actor: "\0" })))._tag, "InvalidActor")
      })
    )
  )

  it.live("G6: a bad row that is read through leaves the default in force, and is reported once", () => {
    const lines: Array<string> = []
    const logger = Logger.layer([Logger.map(Logger.formatJson, (line) => void lines.push(line))])
    return Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* prepare(acme)
      const plane = SystemplaneReadThrough({ keys: keys.all }).pipe(
        Layer.provide(PgConnector.layerSingle({ url: acme.url }))
      )
      yield* Effect.gen(function* () {
        yield* acme.write(Feature.namespace, Feature.key, { enabled: "canary" })
        yield* acme.write(ApiKey.namespace, ApiKey.key, "c4n")
        for (let i = 0; i < 3; i++) {
          assert.deepStrictEqual(yield* Config.get(Feature), Feature.defaultValue)
          assert.deepInclude((yield* Config.snapshot).entry(ApiKey), { value: "none", source: "default" })
        }
        assert.strictEqual(lines.length, 2)
        assert.isTrue(lines.every((line) => !/canary|c4n/.test(line)))
        assert.include(lines[0], `${Feature.namespace}/${Feature.key}`)
        // Another row is another report, and one that decodes is in force.
        yield* acme.write(Feature.namespace, Feature.key, { enabled: "other canary" })
        yield* Config.list(Feature.namespace)
        yield* acme.write(Feature.namespace, Feature.key, { enabled: true, percent: 1 })
        assert.deepStrictEqual(yield* Config.get(Feature), { enabled: true, percent: 1 })
        assert.strictEqual(lines.length, 3)
      }).pipe(Effect.provide(plane), Effect.provide(logger), Effect.provideService(References.MinimumLogLevel, "Warn"))
    })
  })

  it.live("G5: each tenant is read through from its own database, and two tenants on one database are refused", () =>
    Effect.gen(function* () {
      const [acme, globex] = yield* Effect.all([TestDatabase.make, TestDatabase.make])
      yield* Effect.all([prepare(acme), prepare(globex)])
      const plane = SystemplaneReadThrough({ keys: keys.all }).pipe(
        Layer.provide(
          PgConnector.layerRecord({ acme: { url: acme.url }, globex: { url: globex.url }, twin: { url: acme.url } })
        )
      )
      yield* Effect.gen(function* () {
        yield* acme.write(Greeting.namespace, Greeting.key, "from acme")
        assert.strictEqual((yield* reasonOf(Config.get(Greeting)))._tag, "TenantMissing")
        assert.strictEqual(yield* Config.get(Greeting).pipe(withTenant("acme")), "from acme")
        assert.strictEqual(yield* Config.get(Greeting).pipe(withTenant("globex")), "hello")
        for (const [tenant, problem] of [
          ["twin", "in use by another tenant"],
          ["nobody", "There is no tenant"]
        ] as const) {
          const reason = yield* reasonOf(Config.get(Greeting).pipe(withTenant(tenant)))
          assert.strictEqual(reason._tag, tenant === "nobody" ? "UnknownTenant" : "Unavailable")
          assert.include(reason.message, problem)
          assert.notInclude(reason.message, "acme")
        }
      }).pipe(Effect.provide(plane))
    }).pipe(Effect.provide(silent))
  )

  it.live(
    "SystemplaneReadThrough says that it follows nothing: handle and watch fail with NotSupported, changes and onChange die with it",
    () =>
      onAcme((_, sent) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* reasonOf(Config.handle(Limit)))._tag, "NotSupported")
          assert.strictEqual((yield* reasonOf(Stream.runDrain(Config.watch(Limit))))._tag, "NotSupported")
          for (const subscription of [
            Stream.runDrain(Config.changes(Limit)),
            Effect.scoped(Config.onChange(Limit, () => Effect.void))
          ]) {
            const exit = yield* Effect.exit(subscription)
            assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons.every(Cause.isDieReason))
            assert.match(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), /use SystemplaneLive/)
          }
          assert.deepStrictEqual(sent.statements, [])
          assert.strictEqual((yield* KeyRegistry).find(Limit.namespace, Limit.key), Limit)
        })
      )
  )

  it.live("SystemplaneReadThrough is Unavailable while the database is gone, and leaves no session", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* prepare(acme)
      const proxy = yield* FaultProxy.make
      const plane = SystemplaneReadThrough({ keys: keys.all }).pipe(
        Layer.provide(PgConnector.layerSingle({ url: proxy.through(acme.url) }))
      )
      yield* Effect.gen(function* () {
        yield* acme.write(Limit.namespace, Limit.key, 5)
        assert.strictEqual(yield* Config.get(Limit), 5)
        yield* proxy.refuse
        yield* proxy.cut
        const reason = yield* reasonOf(Config.get(Limit))
        assert.strictEqual(reason._tag, "Unavailable")
        assert.notInclude(reason.message, Redacted.value(acme.url))
        assert.isUndefined(reason._tag === "Unavailable" && reason.lastKnown)
        assert.strictEqual(yield* Config.getOrDefault(Limit), 600)
        yield* proxy.pass
        assert.strictEqual(yield* Config.get(Limit), 5)
      }).pipe(Effect.provide(plane))
      yield* TestDatabase.eventually(
        "every session is closed",
        Effect.map(acme.sessions, (sessions) => sessions.length === 0)
      )
    }).pipe(Effect.provide(silent))
  )

  it.effect("SystemplaneReadThrough refuses bad options and two keys of one name without any database", () =>
    Effect.gen(function* () {
      const build = (options: ReadThroughOptions) =>
        Effect.flip(
          Effect.provide(
            KeyRegistry,
            SystemplaneReadThrough(options).pipe(
              Layer.provide(PgConnector.layerSingle({ url: Redacted.make("postgres://nowhere/app") }))
            )
          )
        )
      assert.strictEqual((yield* build({ keys: [], bootstrap: "maybe" as "skip" }))._tag, "InvalidOption")
      assert.strictEqual((yield* build({ keys: [Limit, { ...Limit }] }))._tag, "DuplicateKey")
    })
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Schema } from "effect"
import {
  Config,
  ConfigKey,
  Connector,
  PgConnector,
  SchemaBootstrap,
  SystemplaneLive,
  type SystemplaneOptions,
  TenantManager,
  withTenant
} from "effect-systemplane"
import * as keys from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as Catalog from "./Catalog.ts"
import * as TestStore from "./TestStore.ts"
import * as Witness from "./Witness.ts"

const { Burst, Limit } = keys

const activate = TenantManager.use((manager) => manager.activate("acme"))
const awaitLive = TenantManager.use((manager) => manager.awaitLive("acme"))
const state = Effect.map(
  TenantManager.use((manager) => manager.status("acme")),
  (status) => Option.getOrThrow(status).state
)

/** A plane that activates nothing by itself. */
const plane = (acme: TestDatabase.TestDatabase, options: Partial<SystemplaneOptions> = {}) =>
  TestPlane.layer({ acme }, { tenants: [], ...options })

/** The defaults of the declared keys, as the rows that seeding writes; revisions aside. */
const seeded = [
  { namespace: "features", key: "checkout", value: { enabled: false, percent: 0 } },
  { namespace: "rate-limits", key: "burst", value: 20 },
  { namespace: "rate-limits", key: "requests-per-minute", value: 600 },
  { namespace: "secrets", key: "api-key", value: "none" },
  { namespace: "texts", key: "greeting", value: "hello" }
].map((row) => ({ ...row, updated_by: "systemplane.manager:its mark" }))

const rows = (database: TestDatabase.Stranger) =>
  Effect.map(Catalog.rows(database), (rows) =>
    rows.map(({ revision: _, updated_at: __, updated_by, ...row }) => ({ ...row, updated_by: marked(updated_by) }))
  )

/** The mark of a seed is a hash of its value. */
const marked = (updatedBy: string) => updatedBy.replace(/:[0-9a-f]{16}$/, ":its mark")

/** What the sequence has drawn so far. */
const drawn = (database: TestDatabase.Stranger) =>
  Effect.map(database.run("SELECT last_value::int AS last FROM systemplane_revision_seq"), ([row]): number => row.last)

/** Logs every INSERT statement on the table from now on; the effect it yields counts them. */
const watchInserts = (database: TestDatabase.Stranger) =>
  Effect.gen(function* () {
    yield* database.run("CREATE TABLE insert_log (at timestamptz DEFAULT now())")
    yield* database.run(
      `CREATE FUNCTION log_insert() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN INSERT INTO insert_log DEFAULT VALUES; RETURN NULL; END $$`
    )
    yield* database.run(
      "CREATE TRIGGER log_insert BEFORE INSERT ON systemplane_entries FOR EACH STATEMENT EXECUTE FUNCTION log_insert()"
    )
    return Effect.map(database.run("SELECT count(*)::int AS statements FROM insert_log"), ([row]): number => {
      return row.statements
    })
  })

/** Whether an INSERT waits for the session that holds the table. */
const seedingWaits = (database: TestDatabase.Stranger) =>
  Effect.map(
    database.run(
      "SELECT FROM pg_locks WHERE relation = 'systemplane_entries'::regclass AND mode = 'RowExclusiveLock' AND NOT granted"
    ),
    (waiting) => waiting.length > 0
  )

describe("activation", () => {
  it.live(
    "G12: what schema work opened for the feed is closed once the tenant is suspended, before any feed takes it up",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const preparing = yield* Deferred.make<void>()
        let open = 0
        const connector = Layer.effect(
          Connector,
          Effect.map(Connector, (inner) =>
            Connector.of({
              ...inner,
              client: () => Effect.andThen(Deferred.succeed(preparing, undefined), Effect.never),
              session: (tenant) =>
                Effect.andThen(
                  Effect.acquireRelease(
                    Effect.sync(() => void open++),
                    () => Effect.sync(() => void open--)
                  ),
                  inner.session(tenant)
                )
            })
          )
        ).pipe(Layer.provide(PgConnector.layerRecord({ acme: { url: acme.url } })))
        const plane = SystemplaneLive({ keys: keys.all }).pipe(
          Layer.provide(connector),
          Layer.provide(TestPlane.silent)
        )
        yield* Effect.gen(function* () {
          yield* Effect.forkScoped(Effect.exit(activate))
          yield* Deferred.await(preparing)
          assert.strictEqual(open, 1)
          yield* TenantManager.use((manager) => manager.suspend("acme"))
          assert.strictEqual(open, 0)
        }).pipe(Effect.provide(plane))
      })
  )

  it.live("activation brings up the schema, seeds the defaults, listens, reads, and goes live", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        yield* activate
        assert.strictEqual(yield* state, "live")
        assert.strictEqual(yield* acme.listeners, 1)
        assert.deepStrictEqual(yield* rows(acme), seeded)
        const entry = yield* Config.entry(Limit)
        assert.deepInclude(entry, { value: 600, source: "default", revision: 0, updatedBy: undefined, stale: false })

        const revision = yield* acme.write("rate-limits", "requests-per-minute", 7)
        yield* TestDatabase.eventually(
          "the change is seen",
          Effect.map(Config.entry(Limit), (entry) => entry.revision === revision && entry.value === 7)
        )
      }).pipe(withTenant("acme"), Effect.provide(plane(acme)))
    }).pipe(Effect.scoped)
  )

  it.live("8 planes that meet on an empty database all go live, and every default is stored once", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const planes = Array.from({ length: 8 }, () => Layer.build(plane(acme, { tenants: ["acme"] })))
      yield* Effect.all(planes, { concurrency: "unbounded", discard: true })
      assert.strictEqual(yield* acme.listeners, 8)
      assert.deepStrictEqual(yield* rows(acme), seeded)
    }).pipe(Effect.scoped)
  )

  it.live("activation fails with the first error, and goes live by itself once that is mended", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const { reason } = yield* Effect.flip(activate)
        if (reason._tag !== "SchemaMissing") return assert.fail(reason.message)
        yield* Catalog.runScript(acme, reason.sql)
        yield* awaitLive
        assert.strictEqual(yield* Config.get(Limit), 600)
      }).pipe(withTenant("acme"), Effect.provide(plane(acme, { bootstrap: "verify" })))
    }).pipe(Effect.scoped)
  )
})

describe(`bootstrap: "skip"`, () => {
  it.live("activation looks at nothing: a schema that verify refuses goes live as it is", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Catalog.prepare(acme)
      yield* acme.run("DROP TRIGGER systemplane_notify_trigger ON systemplane_entries")
      const left = yield* Catalog.triggers(acme)

      const refused = yield* Effect.provide(Effect.flip(activate), plane(acme, { bootstrap: "verify" }))
      assert.strictEqual(refused.reason._tag, "SchemaOutdated")

      yield* Effect.provide(activate, plane(acme, { bootstrap: "skip" }))
      assert.deepStrictEqual(yield* Catalog.triggers(acme), left)
    }).pipe(Effect.scoped)
  )

  it.live("activation makes nothing on an empty database, and says what to run", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const ddl = yield* Catalog.watchDdl(acme)
      for (const seedDefaults of [true, false]) {
        const error = yield* Effect.provide(Effect.flip(activate), plane(acme, { bootstrap: "skip", seedDefaults }))
        assert.include(error.message, "Tenant acme")
        assert.include(error.message, "run Ddl.sql")
      }
      assert.deepStrictEqual(yield* ddl, [])
    }).pipe(Effect.scoped)
  )
})

describe("seeding", () => {
  it.live("seeding writes all defaults in one statement", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Catalog.prepare(acme)
      const inserts = yield* watchInserts(acme)
      yield* Effect.provide(activate, plane(acme))
      assert.strictEqual(yield* inserts, 1)
      assert.deepStrictEqual(yield* rows(acme), seeded)
    }).pipe(Effect.scoped)
  )

  it.live("G7: seeding never writes over an operator's value", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Catalog.prepare(acme)
      yield* acme.write("rate-limits", "requests-per-minute", 7)
      yield* acme.write("rate-limits", "burst", "not even valid")
      const operators = yield* Catalog.rows(acme)

      yield* Effect.provide(activate, plane(acme))

      const after = yield* Catalog.rows(acme)
      assert.strictEqual(after.length, seeded.length)
      assert.deepStrictEqual(
        after.filter((row) => row.namespace === "rate-limits"),
        operators
      )
    }).pipe(Effect.scoped)
  )

  it.live("G7: seeding gives way to a value that an operator is just committing", () =>
    TestStore.onEmptyDatabase((database) =>
      Effect.gen(function* () {
        yield* Catalog.prepare(database)
        const services = yield* Effect.context<SchemaBootstrap>()
        const seeds = [
          { namespace: "a", key: "first", json: "1" },
          { namespace: "a", key: "second", json: "2" }
        ]
        const seeding = yield* database.transaction(
          Effect.gen(function* () {
            yield* database.write("a", "second", "the operator's")
            const seeding = yield* SchemaBootstrap.use((bootstrap) => bootstrap.seed(TestStore.acme, seeds)).pipe(
              Effect.provide(services),
              Effect.forkDetach
            )
            yield* TestDatabase.eventually("the seeding waits for the operator", Catalog.blocked(database))
            return seeding
          })
        )
        assert.strictEqual((yield* Fiber.join(seeding)).inserted, 1)
        assert.deepStrictEqual(
          (yield* Catalog.rows(database)).map(({ key, value, updated_by }) => ({
            key,
            value,
            updated_by: marked(updated_by)
          })),
          [
            { key: "first", value: 1, updated_by: "systemplane.manager:its mark" },
            { key: "second", value: "the operator's", updated_by: "stranger" }
          ]
        )
      })
    )
  )

  it.live("many planes that seed at once store every default once", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Catalog.prepare(acme)
      const seeds = Array.from({ length: 40 }, (_, n) => ({ namespace: "a", key: `key-${n}`, json: `${n}` }))
      const counts = yield* Effect.all(
        Array.from({ length: 8 }, () =>
          Effect.provide(
            SchemaBootstrap.use((bootstrap) => bootstrap.seed(TestStore.acme, seeds)),
            TestStore.layer({ acme })
          )
        ),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(
        counts.reduce((sum, count) => sum + count.inserted, 0),
        40
      )
      assert.strictEqual((yield* Catalog.rows(acme)).length, 40)
    }).pipe(Effect.scoped)
  )

  it.live("seeding again draws no revision and writes nothing", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        yield* activate
        const before = yield* Catalog.rows(acme)
        const last = yield* drawn(acme)
        yield* TenantManager.use((manager) => manager.suspend("acme"))
        yield* activate
        yield* Effect.provide(activate, plane(acme))
        assert.deepStrictEqual(yield* Catalog.rows(acme), before)
        assert.strictEqual(yield* drawn(acme), last)
      }).pipe(Effect.provide(plane(acme)))
    }).pipe(Effect.scoped)
  )

  it.live(
    "seeding is not even asked for if every default has a row: activation writes nothing, and need not be allowed to",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        yield* Effect.provide(activate, plane(acme))
        const inserts = yield* watchInserts(acme)
        yield* acme.run(`ALTER DATABASE "${acme.name}" SET default_transaction_read_only = on`)
        yield* Effect.gen(function* () {
          yield* activate
          assert.strictEqual(yield* state, "live")
        }).pipe(Effect.provide(plane(acme)))
        assert.strictEqual(yield* inserts, 0)
      }).pipe(Effect.scoped)
  )

  it.live(
    "seeding waits for the session that holds the table: for longer than a statement may take, if the tenant was prepared before",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        yield* Effect.provide(activate, plane(acme))
        const inserts = yield* watchInserts(acme)
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          const activating = yield* acme.transaction(
            Effect.gen(function* () {
              yield* acme.run("LOCK TABLE systemplane_entries IN ACCESS EXCLUSIVE MODE")
              const activating = yield* Effect.forkDetach(manager.activate("acme"))
              yield* TestDatabase.eventually("the glance has given way to seeding, which waits too", seedingWaits(acme))
              return activating
            })
          )
          yield* Fiber.join(activating)
          assert.strictEqual(yield* state, "live")
        }).pipe(Effect.provide(plane(acme)))
        assert.strictEqual(yield* inserts, 1)
      }).pipe(Effect.scoped)
  )

  it.live("adds the keys that a newer release declares, and leaves the others as they are", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.provide(activate, plane(acme, { keys: [Limit] }))
      const before = yield* Catalog.rows(acme)
      yield* Effect.provide(activate, plane(acme, { keys: [Limit, Burst] }))
      const after = yield* Catalog.rows(acme)
      assert.deepStrictEqual(after.slice(1), before)
      assert.deepInclude(after[0], { key: "burst", value: 20, revision: before[0].revision + 1 })
    }).pipe(Effect.scoped)
  )

  it.live("a default that jsonb cannot hold stops no seeding: it is reported, and in force all the same", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const Nul = ConfigKey.make("texts", "nul", { schema: Schema.String, defaultValue: "canary\0" })
      const Half = ConfigKey.make("texts", "half", { schema: Schema.String, defaultValue: "canary\ud800" })
      const Infinite = ConfigKey.make("texts", "infinite", { schema: Schema.Number, defaultValue: Infinity })
      const logs = Witness.captureLogs()
      const live = SystemplaneLive({ keys: [Nul, Limit, Half, Infinite], tenants: ["acme"] }).pipe(
        Layer.provide(PgConnector.layerRecord({ acme })),
        Layer.provide(logs.layer)
      )
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* rows(acme), [seeded[2]])
        assert.deepInclude(yield* Config.entry(Nul), { value: "canary\0", source: "default", revision: 0 })
        assert.strictEqual(yield* Config.get(Half), "canary\ud800")
      }).pipe(withTenant("acme"), Effect.provide(live))

      const warnings = logs.lines.filter((line) => line.includes("A default cannot be stored"))
      for (const name of ["texts/nul", "texts/half", "texts/infinite"]) {
        assert.isTrue(
          warnings.some((line) => line.includes(name)),
          `${name} is reported`
        )
      }
      assert.notInclude(logs.lines.join("\n"), "canary")
      assert.notInclude(warnings.join("\n"), "requests-per-minute")
    }).pipe(Effect.scoped)
  )

  it.live("seeding is left out if seedDefaults is false: nothing is written, the defaults are in force", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* rows(acme), [])
        assert.deepInclude(yield* Config.entry(Limit), { value: 600, source: "default", revision: 0 })
      }).pipe(withTenant("acme"), Effect.provide(plane(acme, { tenants: ["acme"], seedDefaults: false })))
    }).pipe(Effect.scoped)
  )
})

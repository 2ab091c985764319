/** Writes as a database engineer would try to break them: races, deadlocks, isolation levels, rows out of range. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer } from "effect"
import { Config, ConfigKey, PgConnector, SystemplaneReadThrough, withTenant } from "effect-systemplane"
import * as keys from "../support/keys.ts"
import { Burst, Greeting, Limit } from "../support/keys.ts"
import { until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const actor = { actor: "ada" }

const readThrough = (acme: TestDatabase.TestDatabase) =>
  SystemplaneReadThrough({ keys: keys.all }).pipe(
    Layer.provide(PgConnector.layerRecord({ acme: { url: acme.url } })),
    Layer.provide(TestPlane.silent)
  )

/** Planes of their own over one database, as several processes have: some live, some reading through. */
const planes = Effect.gen(function* () {
  const acme = yield* TestDatabase.make
  const live = TestPlane.layer({ acme }, { seedDefaults: false })
  const built = [
    yield* Layer.build(live),
    yield* Layer.build(Layer.fresh(live)),
    yield* Layer.build(readThrough(acme))
  ] as const
  return { acme, planes: built }
})

describe("guarded writers on several planes and connections", () => {
  it.live("G10: of guarded writers on several planes exactly one wins each round, by set, setAll and remove", () =>
    Effect.gen(function* () {
      const { acme, planes: all } = yield* planes
      const revisionOf = Effect.map(
        acme.run("SELECT revision::int FROM systemplane_entries WHERE key = $1", [Greeting.key]),
        ([row]) => (row?.revision ?? 0) as number
      )
      for (let round = 0; round < 20; round++) {
        const ifRevision = yield* revisionOf
        const guarded = { ...actor, ifRevision }
        const writers = (text: string): ReadonlyArray<Effect.Effect<unknown, any, Config>> => [
          Config.set(Greeting, `${text} set`, guarded),
          Config.set(Greeting, `${text} set too`, guarded),
          Config.setAll(
            [ConfigKey.value(Greeting, `${text} setAll`, { ifRevision }), ConfigKey.value(Burst, round)],
            actor
          ),
          ...(ifRevision === 0 ? [] : [Config.remove(Greeting, guarded)])
        ]
        const exits = yield* Effect.forEach(
          all.flatMap((plane, i) => writers(`${round} ${i}`).map((write) => Effect.provideContext(write, plane))),
          Effect.exit,
          { concurrency: "unbounded" }
        )
        assert.strictEqual(exits.filter(Exit.isSuccess).length, 1, `round ${round}`)
        for (const exit of exits) {
          if (Exit.isSuccess(exit)) continue
          const [reason] = exit.cause.reasons
          assert.strictEqual(reason?._tag === "Fail" ? reason.error.reason._tag : "a defect", "RevisionConflict")
        }
      }
    }).pipe(withTenant("acme"))
  )
})

describe("a transaction that the server takes back because of others is run again", () => {
  it.live("a deadlock with a stranger who takes the rows in another order", () =>
    Effect.gen(function* () {
      const { acme, planes: all } = yield* planes
      const rows = [ConfigKey.value(Limit, 1), ConfigKey.value(Burst, 1)]
      const setBoth = Config.setAll(rows, actor).pipe(Effect.provideContext(all[2]))
      yield* setBoth
      let locked = false
      // The stranger would wait for ten seconds before it looks for a deadlock; we look first, and are the victim.
      const stranger = yield* Effect.forkScoped(
        acme.transaction(
          Effect.gen(function* () {
            yield* acme.run("SET LOCAL deadlock_timeout = '10s'")
            yield* acme.run("UPDATE systemplane_entries SET value = '7' WHERE key = 'requests-per-minute'")
            locked = true
            yield* TestDatabase.eventually(
              "we wait for the stranger's row",
              Effect.map(
                acme.run("SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'", [acme.name]),
                (waiting) => waiting.length > 0
              )
            )
            yield* acme.run("UPDATE systemplane_entries SET value = '7' WHERE key = 'burst'")
          })
        )
      )
      yield* until("the stranger holds a row", () => locked)
      const entries = yield* setBoth
      yield* Fiber.join(stranger)
      assert.deepStrictEqual(
        entries.map(({ value }) => value),
        [1, 1]
      )
      const deadlocks = yield* acme.run(
        "SELECT key, value FROM systemplane_entries WHERE key IN ('burst', 'requests-per-minute') ORDER BY key"
      )
      assert.deepStrictEqual(
        deadlocks.map(({ value }) => value),
        [1, 1],
        "our transaction came last"
      )
    }).pipe(withTenant("acme"))
  )

  it.live("a database whose transactions are serializable by default", () =>
    Effect.gen(function* () {
      const { acme } = yield* planes
      yield* acme.run(`ALTER DATABASE ${acme.name} SET default_transaction_isolation = 'serializable'`)
      yield* Effect.gen(function* () {
        yield* Config.set(Limit, 1, actor)
        let locked = false
        const stranger = yield* Effect.forkScoped(
          acme.transaction(
            Effect.gen(function* () {
              yield* acme.run("UPDATE systemplane_entries SET value = '7'")
              locked = true
              yield* TestDatabase.eventually(
                "we wait for the stranger's row",
                Effect.map(
                  acme.run("SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"),
                  (waiting) => waiting.length > 0
                )
              )
            })
          )
        )
        yield* until("the stranger holds the row", () => locked)
        assert.deepInclude(yield* Config.set(Limit, 2, actor), { value: 2 })
        yield* Fiber.join(stranger)
      }).pipe(Effect.provide(readThrough(acme)))
    }).pipe(withTenant("acme"))
  )
})

describe("a row whose revision JavaScript cannot express", () => {
  it.live(
    "a row whose revision JavaScript cannot express can be written and removed at the revision that readers are shown",
    () =>
      Effect.gen(function* () {
        const { acme, planes: all } = yield* planes
        const outOfRange = Effect.gen(function* () {
          yield* acme.run("ALTER TABLE systemplane_entries DISABLE TRIGGER USER")
          yield* acme.run("UPDATE systemplane_entries SET revision = 9223372036854775807")
          yield* acme.run("ALTER TABLE systemplane_entries ENABLE TRIGGER USER")
        })
        yield* Effect.gen(function* () {
          yield* Config.set(Limit, 1, actor)
          yield* outOfRange
          const shown = yield* Config.entry(Limit)
          assert.strictEqual(shown.revision, Number.MAX_SAFE_INTEGER)
          const written = yield* Config.set(Limit, 2, { ...actor, ifRevision: shown.revision })
          assert.isBelow(written.revision, 1000, "a revision that was drawn")
          yield* outOfRange
          yield* Config.remove(Limit, { ...actor, ifRevision: Number.MAX_SAFE_INTEGER })
          assert.strictEqual((yield* Config.entry(Limit)).source, "default")
        }).pipe(Effect.provideContext(all[2]))
      }).pipe(withTenant("acme"))
  )
})

/**
 * Behind PgBouncer in transaction mode a `LISTEN` is confirmed and then as good as lost: it stays on whichever
 * connection of the pooler it ran on, and what arrives there while no transaction of ours is under way is thrown away.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Metric, type Redacted, Scope, Stream } from "effect"
import { Config, ConfigKey, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as PgBouncer from "../../dev/PgBouncer.ts"
import * as keys from "../support/keys.ts"
import { Burst, Limit } from "../support/keys.ts"
import { collect } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { eventually } = TestDatabase

const actor = { actor: "ada" }

const seen = (value: number) =>
  eventually(
    `${value}`,
    Effect.map(Config.get(Limit), (seen) => seen === value)
  )

const plane = (target: PgConnector.PgTarget, options: Partial<Parameters<typeof SystemplaneLive>[0]> = {}) =>
  SystemplaneLive({ keys: keys.all, tenants: ["pooled"], ...options }).pipe(
    Layer.provide(PgConnector.layerRecord({ pooled: target })),
    Layer.provide(TestPlane.silent)
  )

/** How often a verification found what no notification had told. */
const foundByVerification = Effect.map(Metric.snapshot, (metrics) =>
  metrics
    .filter(({ attributes, id }) => id === "systemplane.manager.reconcile_total" && attributes?.tenant_id === "pooled")
    .reduce((sum, { attributes, type, state }) => {
      return sum + (attributes?.reason === "verify" && type === "Counter" ? Number(state.count) : 0)
    }, 0)
)

/** Keeps a connection of the pooler to itself, the one that was used last, until the effect that it returns. */
const occupy = (url: Redacted.Redacted) =>
  Effect.gen(function* () {
    const stranger = yield* TestDatabase.connect(url)
    const begun = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkScoped(
      stranger.transaction(
        stranger.run("SELECT 1").pipe(Effect.andThen(Deferred.succeed(begun, undefined)), Effect.andThen(Effect.never))
      )
    )
    yield* Deferred.await(begun)
    return Fiber.interrupt(fiber)
  })

/** What the pooler's only connection listens to. */
const listensTo = (url: Redacted.Redacted) =>
  Effect.gen(function* () {
    const stranger = yield* TestDatabase.connect(url)
    const rows = yield* stranger.run("SELECT pg_listening_channels() AS channel")
    return rows.map(({ channel }) => channel)
  })

describe.skipIf(PgBouncer.missing !== undefined)(
  `PgBouncer in transaction mode${PgBouncer.missing === undefined ? "" : `: ${PgBouncer.missing}`}`,
  () => {
    it.live("G1, G4: behind a pooler statements work, and values converge by verification alone", () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const through = yield* PgBouncer.make()
        yield* Effect.gen(function* () {
          const states = yield* collect(
            Stream.unwrap(TenantManager.use((manager) => Effect.succeed(manager.statusChanges)))
          )
          const set = yield* Config.set(Limit, 5, actor)
          assert.deepInclude(yield* Config.entry(Limit), { value: 5, revision: set.revision, stale: false })
          const conflict = yield* Effect.flip(Config.set(Limit, 6, { ...actor, ifRevision: set.revision - 1 }))
          assert.strictEqual(conflict.reason._tag, "RevisionConflict")
          yield* Config.setAll([ConfigKey.value(Limit, 7), ConfigKey.value(Burst, 7)], actor)
          yield* Config.remove(Burst, actor)
          assert.deepStrictEqual([yield* Config.get(Limit), yield* Config.get(Burst)], [7, 20])

          // The connection that listens serves another client for a while: our session's statements go to another one.
          const release = yield* occupy(through(acme.url))
          const before = yield* foundByVerification
          for (const value of [8, 9, 10]) {
            yield* acme.write(Limit.namespace, Limit.key, value)
            yield* seen(value)
          }
          yield* release
          yield* acme.write(Limit.namespace, Limit.key, 11)
          yield* seen(11)
          // One that arrives during a statement of ours is delivered by chance.
          yield* TestDatabase.eventually(
            "one was found by verification",
            Effect.map(foundByVerification, (found) => found > before)
          )
          assert.deepInclude(yield* Config.entry(Limit), { value: 11, stale: false })
          assert.isTrue(states.every(({ state }) => state === "live"))
        }).pipe(
          withTenant("pooled"),
          Effect.provide(plane({ url: through(acme.url), prepare: false }, { maxStaleness: "2 seconds" }))
        )
      })
    )

    it.live(
      "G10: behind a pooler a change id takes effect once, and what a write says of itself reaches no other statement",
      () =>
        Effect.gen(function* () {
          const acme = yield* TestDatabase.make
          const through = yield* PgBouncer.make()
          const change = { ...actor, reason: "why", changeId: crypto.randomUUID() }
          yield* Effect.gen(function* () {
            const first = yield* Config.set(Limit, 5, change)
            const stranger = yield* TestDatabase.connect(through(acme.url))
            yield* stranger.run("UPDATE systemplane_entries SET value = '6', updated_by = 'eve' WHERE key = $1", [
              Limit.key
            ])
            assert.deepInclude(yield* Config.set(Limit, 5, change), { value: 5, revision: first.revision })
            assert.deepStrictEqual(
              yield* acme.run(
                `SELECT value, changed_by, reason, change_id = $1 AS ours FROM systemplane_history WHERE key = $2 ORDER BY id`,
                [change.changeId, Limit.key]
              ),
              [
                { value: 5, changed_by: "ada", reason: "why", ours: true },
                { value: 6, changed_by: "eve", reason: null, ours: false }
              ]
            )
            assert.strictEqual(yield* Config.get(Limit), 6)
          }).pipe(withTenant("pooled"), Effect.provide(plane({ url: through(acme.url), prepare: false })))
        })
    )

    it.live(
      "G1, G12: behind a pooler a listenUrl that leads to the server has changes pushed, and leaves nothing behind",
      () =>
        Effect.gen(function* () {
          const acme = yield* TestDatabase.make
          const through = yield* PgBouncer.make({ default_pool_size: "1" })
          const target = { url: through(acme.url), listenUrl: acme.url, prepare: false }
          const scope = yield* Scope.make()
          // No verification for minutes: whatever is seen was pushed.
          const context = yield* plane(target, { maxStaleness: "1 hour" }).pipe(Layer.buildWithScope(scope))
          yield* Effect.gen(function* () {
            yield* acme.write(Limit.namespace, Limit.key, 8)
            yield* seen(8)
            yield* Config.set(Limit, 9, actor)
            assert.strictEqual(yield* Config.get(Limit), 9)
          }).pipe(withTenant("pooled"), Effect.provideContext(context))
          assert.deepStrictEqual(yield* listensTo(through(acme.url)), [])
          yield* Scope.close(scope, Exit.void)
          yield* eventually(
            "no listener",
            Effect.map(acme.listeners, (listeners) => listeners === 0)
          )
        })
    )

    it.live("G12: without a listenUrl, server_reset_query_always keeps LISTEN off the pooler's connections", () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const listensAfterwards = (settings: Readonly<Record<string, string>>) =>
          Effect.gen(function* () {
            const through = yield* PgBouncer.make({ default_pool_size: "1", ...settings })
            const target = { url: through(acme.url), prepare: false }
            yield* Effect.gen(function* () {
              yield* acme.write(Limit.namespace, Limit.key, 8)
              yield* seen(8)
              yield* acme.erase(Limit.namespace, Limit.key)
              yield* seen(600)
            }).pipe(withTenant("pooled"), Effect.provide(plane(target, { maxStaleness: "1 second" })))
            return yield* listensTo(through(acme.url))
          })
        // What the documentation warns of: no client can take back a LISTEN on a connection that the pooler has taken
        // back.
        assert.deepStrictEqual(yield* listensAfterwards({}), ["systemplane_changes"])
        assert.deepStrictEqual(
          yield* listensAfterwards({ server_reset_query: "UNLISTEN *", server_reset_query_always: "1" }),
          []
        )
      })
    )
  }
)

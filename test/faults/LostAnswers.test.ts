import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { Config, PgConnector, SystemplaneLive, withTenant } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as keys from "../support/keys.ts"
import { Greeting } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const actor = { actor: "ada" }

describe("a write whose answer is lost", () => {
  /** A plane whose statements go through a proxy, while it listens at the server itself. */
  const throughProxy = <A, E, R>(
    test: (acme: TestDatabase.TestDatabase, proxy: FaultProxy.FaultProxy) => Effect.Effect<A, E, R>
  ) =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const proxy = yield* FaultProxy.make
      const plane = SystemplaneLive({ keys: keys.all, tenants: ["acme"] }).pipe(
        Layer.provide(PgConnector.layerRecord({ acme: { url: proxy.through(acme.url), listenUrl: acme.url } })),
        Layer.provide(TestPlane.silent)
      )
      return yield* test(acme, proxy).pipe(withTenant("acme"), Effect.provide(plane))
    })

  /** Keeps a write of the greeting waiting inside the server until the scope closes. */
  const holdBack = (acme: TestDatabase.TestDatabase) =>
    Effect.gen(function* () {
      const locked = yield* Deferred.make<void>()
      const held = yield* Effect.forkScoped(
        acme.transaction(
          acme
            .run("SELECT 1 FROM systemplane_entries WHERE key = $1 FOR UPDATE", [Greeting.key])
            .pipe(Effect.andThen(Deferred.succeed(locked, undefined)), Effect.andThen(Effect.never))
        )
      )
      yield* Deferred.await(locked)
      return Fiber.interrupt(held)
    })

  const writerWaits = (acme: TestDatabase.TestDatabase) =>
    TestDatabase.eventually(
      "the write waits for the row",
      Effect.map(
        acme.run(
          `SELECT 1 FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'effect-systemplane'`
        ),
        (rows) => rows.length > 0
      )
    )

  it.live("G10: a write that landed though its answer was lost returns its entry", () =>
    throughProxy((acme, proxy) =>
      Effect.gen(function* () {
        const release = yield* holdBack(acme)
        const write = yield* Effect.forkScoped(Config.set(Greeting, "landed", actor))
        yield* writerWaits(acme)
        // The proxy swallows the answer; by the time the database is asked, the write has gone through.
        yield* proxy.blackHole
        yield* release
        yield* TestDatabase.eventually(
          "the write landed",
          Effect.map(
            acme.run("SELECT 1 FROM systemplane_entries WHERE value = '\"landed\"'"),
            (rows) => rows.length === 1
          )
        )
        yield* proxy.pass
        yield* proxy.cut
        assert.deepInclude(yield* Fiber.join(write), { value: "landed", updatedBy: "ada" })
        assert.strictEqual(yield* Config.get(Greeting), "landed")
      })
    )
  )

  it.live("G10: a write has an unknown outcome only while the server holds it or cannot be asked", () =>
    throughProxy((acme, proxy) =>
      Effect.gen(function* () {
        yield* holdBack(acme)
        const write = yield* Effect.forkScoped(Effect.flip(Config.set(Greeting, "maybe", actor)))
        yield* writerWaits(acme)
        yield* proxy.refuse
        yield* proxy.cut
        const { reason } = yield* Fiber.join(write)
        assert.deepInclude(reason, {
          _tag: "WriteOutcomeUnknown",
          keys: [{ namespace: Greeting.namespace, key: Greeting.key }]
        })
      })
    )
  )

  it.live("G10: a write that could not be sent did not land", () =>
    throughProxy((acme, proxy) =>
      Effect.gen(function* () {
        yield* proxy.refuse
        yield* proxy.cut
        const { reason } = yield* Effect.flip(
          Config.set(Greeting, "no", actor).pipe(
            // A pooled connection that was just cut may take the statement before the driver has noticed.
            Effect.catchReason("ConfigError", "WriteOutcomeUnknown", () => Config.set(Greeting, "no", actor))
          )
        )
        assert.strictEqual(reason._tag, "Unavailable")
        if (reason._tag === "Unavailable") assert.deepInclude(reason.lastKnown, { value: "hello", stale: false })
        assert.deepStrictEqual(yield* acme.run("SELECT 1 FROM systemplane_entries WHERE value = '\"no\"'"), [])
      })
    )
  )
})

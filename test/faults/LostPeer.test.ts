import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Scope } from "effect"
import { Config, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import { soon, until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { eventually } = TestDatabase

const call = (what: "activate" | "suspend" | "remove" | "rotateCredentials") =>
  TenantManager.use((manager) => manager[what]("acme"))

const limit = Config.get(Limit).pipe(withTenant("acme"))

/** A plane whose every connection goes through a proxy, in a scope that the test closes itself. */
const behindProxy = (options: Partial<Parameters<typeof SystemplaneLive>[0]> = {}) =>
  Effect.gen(function* () {
    const acme = yield* TestDatabase.make
    const proxy = yield* FaultProxy.make
    if (options.boot === "background") yield* proxy.blackHole
    const scope = yield* Scope.make()
    const plane = yield* SystemplaneLive({
      keys: keys.all,
      tenants: ["acme"],
      reconnect: { base: "20 millis", cap: "100 millis" },
      ...options
    }).pipe(
      Layer.provide(PgConnector.layerRecord({ acme: { url: proxy.through(acme.url) } })),
      Layer.provide(TestPlane.silent),
      Layer.buildWithScope(scope)
    )
    const close = soon("closing the layer", Scope.close(scope, Exit.void))
    yield* Effect.addFinalizer(() => close)
    return { acme, close, proxy, plane }
  })

describe("a peer that no longer answers", () => {
  it.live("G12: suspend and remove do not wait for a peer that no longer answers, even while a read waits for it", () =>
    Effect.gen(function* () {
      const { plane, proxy } = yield* behindProxy()
      yield* Effect.gen(function* () {
        yield* proxy.blackHole
        yield* soon("suspend", call("suspend"))
        const attempts = yield* proxy.attempts
        const reads = yield* Effect.forkScoped(Effect.exit(limit), { startImmediately: true })
        yield* eventually(
          "the read connects",
          Effect.map(proxy.attempts, (now) => now > attempts)
        )
        yield* soon("remove", call("remove"))
        // Once the network is back, so is the tenant.
        yield* proxy.pass
        yield* soon("activate", call("activate"))
        assert.strictEqual(yield* limit, 600)
        assert.isUndefined(reads.pollUnsafe(), "the read still waits")
      }).pipe(Effect.provideContext(plane))
    })
  )

  it.live("G12: a rotation does not wait for a peer that no longer answers; a new session takes its place", () =>
    Effect.gen(function* () {
      const { acme, plane, proxy } = yield* behindProxy()
      yield* Effect.gen(function* () {
        yield* proxy.blackHole
        yield* proxy.pass
        yield* soon("rotateCredentials", call("rotateCredentials"))
        yield* acme.write(Limit.namespace, Limit.key, 7)
        yield* eventually(
          "the change is seen",
          Effect.map(limit, (value) => value === 7)
        )
      }).pipe(Effect.provideContext(plane))
    })
  )

  it.live("G12: suspend and remove do not wait for a first connection that is never made", () =>
    Effect.gen(function* () {
      const { plane, proxy } = yield* behindProxy({ boot: "background" })
      yield* Effect.gen(function* () {
        yield* eventually(
          "connecting",
          Effect.map(proxy.attempts, (attempts) => attempts > 0)
        )
        yield* soon("suspend", call("suspend"))
        yield* soon("remove", call("remove"))
        yield* proxy.pass
        yield* soon("activate", call("activate"))
        assert.strictEqual(yield* limit, 600)
      }).pipe(Effect.provideContext(plane))
    })
  )

  it.live("G12: drain and close do not wait for a first connection that is never made", () =>
    Effect.gen(function* () {
      const { close, plane, proxy } = yield* behindProxy({ boot: "background" })
      yield* eventually(
        "connecting",
        Effect.map(proxy.attempts, (attempts) => attempts > 0)
      )
      const report = yield* soon(
        "drain",
        TenantManager.use((manager) => manager.drain({ timeout: "1 second" }))
      ).pipe(Effect.provideContext(plane))
      assert.deepStrictEqual<unknown>(report, { finished: ["acme"], unfinished: [] })
      yield* close
    })
  )

  it.live("G12: drain and close do not wait for a read that is never answered", () =>
    Effect.gen(function* () {
      const { close, plane, proxy } = yield* behindProxy()
      yield* Effect.gen(function* () {
        yield* call("suspend")
        assert.strictEqual(yield* limit, 600)
        yield* proxy.blackHole
        const reads = yield* Effect.forkScoped(Effect.exit(limit), { startImmediately: true })
        const report = yield* soon(
          "drain",
          TenantManager.use((manager) => manager.drain({ timeout: "1 second" }))
        )
        assert.deepStrictEqual(report.unfinished, [])
        yield* close
        yield* until("the read has ended", () => reads.pollUnsafe() !== undefined)
      }).pipe(Effect.provideContext(plane))
    })
  )

  it.live(
    "G12: suspend, remove, drain and close wait for no peer, whichever message of an activation it vanishes after",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const calls = ["suspend", "remove", "drain", "close"] as const
        let waited = 0
        // Every other message, for the sake of time: the transaction of the schema alone takes six.
        for (let messages = 0, live = false; !live; messages += 2) {
          // Each activation prepares the database anew: it connects, looks, makes the schema in a transaction, seeds
          // and listens.
          yield* acme.run("DROP SCHEMA public CASCADE")
          yield* acme.run("CREATE SCHEMA public")
          const peer = yield* Scope.make()
          const proxy = yield* Scope.provide(FaultProxy.make, peer)
          yield* proxy.hold("toServer", messages)
          const scope = yield* Scope.make()
          const close = Scope.close(scope, Exit.void)
          const layer = SystemplaneLive({ keys: keys.all }).pipe(
            Layer.provide(PgConnector.layerRecord({ acme: { url: proxy.through(acme.url) } })),
            Layer.provide(TestPlane.silent)
          )
          const plane = yield* Layer.buildWithScope(layer, scope)
          yield* Effect.gen(function* () {
            yield* Effect.forkIn(Effect.ignore(call("activate")), scope)
            yield* eventually(
              "the peer is silent, or not needed",
              Effect.gen(function* () {
                live =
                  Option.getOrUndefined(yield* TenantManager.use((manager) => manager.status("acme")))?.state === "live"
                return live || (yield* proxy.underWay("toServer")) > 0
              })
            )
            const what = calls[(messages / 2) % calls.length]!
            const ending =
              what === "close" ? close : what === "drain" ? TenantManager.use((manager) => manager.drain()) : call(what)
            yield* soon(`${what} after ${messages} messages`, ending)
            yield* soon(`closing after ${messages} messages`, close)
          }).pipe(Effect.provideContext(plane))
          yield* Scope.close(peer, Exit.void)
          if (!live) waited++
        }
        assert.isAtLeast(waited, 8)
      }),
    30_000
  )
})

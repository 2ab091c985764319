import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { Config, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as FaultProxy from "../support/FaultProxy.ts"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { eventually } = TestDatabase

const limit = Config.entry(Limit)

const write = (database: TestDatabase.TestDatabase, value: unknown) => database.write(Limit.namespace, Limit.key, value)

const stateIs = (state: string) =>
  Effect.map(
    TenantManager.use((manager) => manager.status("acme")),
    Option.exists((status) => status.state === state)
  )

/** A plane that listens through a proxy, while statements go straight to the server. */
const throughProxy = <A, E, R>(
  test: (acme: TestDatabase.TestDatabase, proxy: FaultProxy.FaultProxy) => Effect.Effect<A, E, R>,
  options: Partial<Parameters<typeof SystemplaneLive>[0]> = {}
) =>
  Effect.gen(function* () {
    const acme = yield* TestDatabase.make
    const proxy = yield* FaultProxy.make
    const plane = SystemplaneLive({
      keys: keys.all,
      tenants: ["acme"],
      reconnect: { base: "20 millis", cap: "100 millis" },
      ...options
    }).pipe(
      Layer.provide(
        PgConnector.layerRecord({
          acme: { url: acme.url, listenUrl: proxy.through(acme.url), connectTimeout: "500 millis" }
        })
      ),
      Layer.provide(TestPlane.silent)
    )
    return yield* test(acme, proxy).pipe(withTenant("acme"), Effect.provide(plane))
  })

describe("G1: a change made during an outage appears after it, once, without a second write", () => {
  it.live("the backend is terminated and reconnecting is refused; values are marked stale in between", () =>
    throughProxy(
      (acme, proxy) =>
        Effect.gen(function* () {
          const handled: Array<number> = []
          yield* Config.onChange(Limit, ({ value }) => Effect.sync(() => handled.push(value)))
          yield* proxy.refuse
          assert.strictEqual(yield* acme.killListeners, 1)
          yield* eventually("disconnected", stateIs("disconnected"))
          yield* write(acme, 7)
          assert.deepInclude(yield* limit, { value: 600, stale: true })
          yield* proxy.pass
          yield* eventually("live", stateIs("live"))
          assert.deepInclude(yield* limit, { value: 7, stale: false })
          yield* write(acme, 8)
          yield* eventually(
            "8",
            Effect.map(limit, (entry) => entry.value === 8)
          )
          yield* eventually(
            "handled",
            Effect.sync(() => handled.includes(8))
          )
          assert.deepStrictEqual(handled, [7, 8])
        }),
      { staleAfterFailures: 1_000 }
    )
  )

  it.live("the connection is cut: after three refused attempts reads go to the database, until the feed is back", () =>
    throughProxy((acme, proxy) =>
      Effect.gen(function* () {
        yield* proxy.refuse
        yield* proxy.cut
        yield* eventually("stale", stateIs("stale"))
        yield* write(acme, 7)
        assert.deepInclude(yield* limit, { value: 7, stale: false })
        yield* proxy.pass
        yield* eventually("live", stateIs("live"))
        assert.deepInclude(yield* limit, { value: 7, stale: false })
      })
    )
  )

  it.live("G4 the session is black-holed: it is noticed, given up and replaced", () =>
    throughProxy(
      (acme, proxy) =>
        Effect.gen(function* () {
          yield* proxy.blackHole
          yield* write(acme, 7)
          yield* eventually(
            "noticed",
            Effect.map(stateIs("live"), (live) => !live)
          )
          yield* proxy.pass
          yield* eventually(
            "7",
            Effect.map(limit, (entry) => entry.value === 7 && !entry.stale)
          )
          yield* eventually("live", stateIs("live"))
        }),
      { maxStaleness: "1 second" }
    )
  )

  it.live("deleted and created again during the outage: the new row, above every revision it had", () =>
    throughProxy((acme, proxy) =>
      Effect.gen(function* () {
        const before = yield* write(acme, 7)
        yield* eventually(
          "7",
          Effect.map(limit, (entry) => entry.value === 7)
        )
        yield* proxy.refuse
        yield* proxy.cut
        yield* acme.erase(Limit.namespace, Limit.key)
        const after = yield* write(acme, 7)
        assert.isAbove(after, before)
        yield* proxy.pass
        yield* eventually(
          "the new row",
          Effect.map(limit, (entry) => entry.revision === after)
        )
      })
    )
  )
})

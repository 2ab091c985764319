import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { Config, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as Catalog from "../postgres/Catalog.ts"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { eventually } = TestDatabase

const limit = Config.get(Limit).pipe(withTenant("acme"))

/** A plane with acme behind a proxy that refuses every connection at first, and with globex that can be reached. */
const behindProxy = (options: Partial<Parameters<typeof SystemplaneLive>[0]>) =>
  Effect.gen(function* () {
    const acme = yield* TestDatabase.make
    const globex = yield* TestDatabase.make
    const proxy = yield* FaultProxy.make
    yield* proxy.refuse
    const plane = SystemplaneLive({
      keys: keys.all,
      tenants: ["acme", "globex"],
      reconnect: { base: "20 millis", cap: "100 millis" },
      ...options
    }).pipe(
      Layer.provide(PgConnector.layerRecord({ acme: { url: proxy.through(acme.url) }, globex: { url: globex.url } })),
      Layer.provide(TestPlane.silent)
    )
    return { acme, globex, plane, proxy }
  })

describe("boot", () => {
  it.live("G12: boot require fails with the tenant's last error once bootTimeout is over, and leaves no session", () =>
    Effect.gen(function* () {
      const { globex, plane, proxy } = yield* behindProxy({ boot: "require", bootTimeout: "500 millis" })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(plane)))
      assert.strictEqual(error._tag, "ActivationError")
      assert.strictEqual(error._tag === "ActivationError" && error.reason._tag, "ConnectFailed")
      assert.include(error.message, "acme")
      // It was tried again until then.
      assert.isAbove(yield* proxy.attempts, 1)
      yield* eventually(
        "no session is left",
        Effect.map(globex.sessions, (sessions) => sessions.length === 0)
      )
    })
  )

  it.live("require: an error that passes within bootTimeout is none", () =>
    Effect.gen(function* () {
      const { plane, proxy } = yield* behindProxy({ boot: "require" })
      yield* Effect.forkScoped(
        Effect.andThen(
          eventually(
            "the first attempts failed",
            Effect.map(proxy.attempts, (attempts) => attempts > 2)
          ),
          proxy.pass
        )
      )
      assert.strictEqual(yield* Effect.provide(limit, plane), 600)
    })
  )

  it.live("settle: is built once the first attempt has failed, and the tenant is tried on", () =>
    Effect.gen(function* () {
      const { plane, proxy } = yield* behindProxy({})
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        assert.strictEqual(Option.getOrThrow(yield* manager.status("globex")).state, "live")
        assert.notStrictEqual(Option.getOrThrow(yield* manager.status("acme")).lastError, undefined)
        assert.strictEqual((yield* manager.health).status, "degraded")
        yield* proxy.pass
        yield* manager.awaitLive("acme")
      }).pipe(Effect.provide(plane))
    })
  )

  it.live("settle: is built after bootTimeout if a server does not answer at all", () =>
    Effect.gen(function* () {
      const { plane, proxy } = yield* behindProxy({ bootTimeout: "300 millis" })
      yield* proxy.pass
      yield* proxy.blackHole
      yield* TenantManager.use((manager) => manager.awaitLive("globex")).pipe(Effect.provide(plane))
    })
  )

  for (const boot of ["settle", "require"] as const) {
    for (const url of ["nonsense", "http://db/acme", "postgres://db:port/acme"]) {
      it.live(`${boot}: an address that can never parse fails at once (${url})`, () =>
        Effect.gen(function* () {
          const plane = SystemplaneLive({ keys: keys.all, tenants: ["acme"], boot, bootTimeout: "1 hour" }).pipe(
            Layer.provide(PgConnector.layerRecord({ acme: { url: Redacted.make(url) } })),
            Layer.provide(TestPlane.silent)
          )
          const error = yield* Effect.flip(Effect.scoped(Layer.build(plane)))
          assert.strictEqual(error._tag, "ActivationError")
        })
      )
    }
  }

  it.live("background: is built at once, and the tenant becomes live when its database appears", () =>
    Effect.gen(function* () {
      const { acme, plane, proxy } = yield* behindProxy({ boot: "background" })
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        assert.strictEqual((yield* Effect.flip(limit)).reason._tag, "Unavailable")
        assert.strictEqual(yield* Config.getOrDefault(Limit).pipe(withTenant("acme")), 600)
        yield* manager.awaitLive("globex")
        yield* eventually(
          "acme failed",
          Effect.map(
            manager.status("acme"),
            Option.exists(({ failures }) => failures > 3)
          )
        )
        yield* proxy.pass
        yield* manager.awaitLive("acme")
        yield* acme.write(Limit.namespace, Limit.key, 7)
        yield* eventually(
          "the change is seen",
          Effect.map(limit, (value) => value === 7)
        )
      }).pipe(Effect.provide(plane))
    })
  )
})

describe("activation", () => {
  it.live("onDemand: the first read is answered by the database, and makes the tenant live", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Catalog.prepare(acme)
      yield* acme.write(Limit.namespace, Limit.key, 7)
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        assert.isTrue(Option.isNone(yield* manager.status("acme")))
        assert.strictEqual(yield* limit, 7)
        yield* manager.awaitLive("acme")
        assert.strictEqual(yield* acme.listeners, 1)
      }).pipe(Effect.provide(TestPlane.layer({ acme }, { tenants: [] })))
    })
  )

  it.live("onDemand: on a database without tables the first reads, and writes beside them, wait for the tables", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const [first, snapshot, listed, written] = yield* Effect.all(
          [
            limit,
            Config.snapshot,
            Config.list(keys.Burst.namespace),
            Config.set(keys.Greeting, "hello", { actor: "ada" })
          ],
          { concurrency: "unbounded" }
        ).pipe(withTenant("acme"))
        assert.deepStrictEqual([first, snapshot.get(Limit), written.value], [600, 600, "hello"])
        assert.isNotEmpty(listed)
      }).pipe(Effect.provide(TestPlane.layer({ acme }, { tenants: [], maxEntriesPerTenant: 1 })))
    })
  )

  it.live("explicit: a read is answered by the database, and activates nothing", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Catalog.prepare(acme)
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        for (const value of [7, 8]) {
          yield* acme.write(Limit.namespace, Limit.key, value)
          assert.strictEqual(yield* limit, value)
        }
        assert.deepStrictEqual(yield* manager.statuses, [])
        assert.strictEqual(yield* acme.listeners, 0)
        yield* manager.activate("acme")
        assert.strictEqual(yield* acme.listeners, 1)
      }).pipe(Effect.provide(TestPlane.layer({ acme }, { tenants: [], activation: "explicit" })))
    })
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Redacted, Ref } from "effect"
import { Config, Ddl, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as FaultProxy from "../../dev/FaultProxy.ts"
import * as Catalog from "../postgres/Catalog.ts"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const { eventually } = TestDatabase

const limit = Config.get(Limit).pipe(withTenant("acme"))

const call = (what: "activate" | "suspend" | "remove" | "rotateCredentials") =>
  TenantManager.use((manager) => manager[what]("acme"))

const write = (database: TestDatabase.TestDatabase, value: unknown) => database.write(Limit.namespace, Limit.key, value)

describe("the lifecycle on a real server", () => {
  it.live("G12: a rotation ends the old session, the new one uses the new password, and no read fails in between", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const role = yield* TestDatabase.makeRole
      for (const part of Ddl.parts) for (const statement of part.statements) yield* acme.run(statement)
      yield* acme.run(Ddl.grants(role.user))
      yield* Effect.addFinalizer(() => acme.run(`DROP OWNED BY ${role.user}`))
      const password = yield* Ref.make(role.password)
      const connector = PgConnector.layerFrom(() =>
        Effect.map(Ref.get(password), (password) => Option.some({ url: acme.urlAs({ ...role, password }) }))
      )
      yield* Effect.gen(function* () {
        const before = yield* acme.sessions
        assert.isTrue(before.every(({ user }) => user === role.user))
        let reads = 0
        const reader = yield* Effect.forkScoped(
          Effect.forever(
            Effect.andThen(
              limit,
              Effect.andThen(
                Effect.sync(() => reads++),
                Effect.yieldNow
              )
            )
          )
        )
        for (const secret of ["second-password", "third-password"]) {
          yield* role.alterPassword(secret)
          yield* Ref.set(password, secret)
          yield* call("rotateCredentials")
        }
        const oldOnes = new Set(before.map(({ pid }) => pid))
        yield* eventually(
          "the old sessions are gone",
          Effect.map(acme.sessions, (sessions) => sessions.every(({ pid }) => !oldOnes.has(pid)))
        )
        assert.strictEqual(yield* acme.listeners, 1)
        yield* write(acme, 7)
        yield* eventually(
          "7",
          Effect.map(limit, (value) => value === 7)
        )
        assert.isUndefined(reader.pollUnsafe(), "no read failed")
        assert.isAbove(reads, 100)
        yield* Fiber.interrupt(reader)
      }).pipe(
        Effect.provide(
          SystemplaneLive({ keys: keys.all, tenants: ["acme"] }).pipe(
            Layer.provide(connector),
            Layer.provide(TestPlane.silent)
          )
        )
      )
    })
  )

  it.live(
    "G4: after a rotation to a wrong password the snapshot is trusted no longer than after any lost session",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const wrong = acme.urlAs({ user: new URL(Redacted.value(acme.url)).username, password: "wrong" })
        const url = yield* Ref.make(acme.url)
        const connector = PgConnector.layerFrom(() => Effect.map(Ref.get(url), (url) => Option.some({ url })))
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          yield* Ref.set(url, wrong)
          const error = yield* Effect.flip(call("rotateCredentials"))
          assert.strictEqual(error.reason._tag, "AuthenticationFailed")
          yield* eventually(
            "stale",
            Effect.map(
              manager.status("acme"),
              Option.exists((status) => status.state === "stale")
            )
          )
          assert.strictEqual((yield* Effect.flip(limit)).reason._tag, "Unavailable")
          yield* Ref.set(url, acme.url)
          yield* call("rotateCredentials")
          assert.strictEqual(yield* limit, 600)
        }).pipe(
          Effect.provide(
            SystemplaneLive({
              keys: keys.all,
              tenants: ["acme"],
              reconnect: { base: "20 millis", cap: "100 millis" }
            }).pipe(Layer.provide(connector), Layer.provide(TestPlane.silent))
          )
        )
      })
  )

  it.live("G12: callers that state one intent after another at once leave nothing behind", () =>
    TestPlane.onAcme((acme) =>
      Effect.gen(function* () {
        yield* Effect.forEach(
          Array.from({ length: 4 }),
          (_, caller) =>
            Effect.forEach(
              Array.from({ length: 6 }),
              (_, round) => Effect.exit(call((caller + round) % 2 === 0 ? "activate" : "remove")),
              { discard: true }
            ),
          { concurrency: "unbounded", discard: true }
        )
        yield* call("activate")
        yield* call("remove")
        yield* eventually(
          "no session is left",
          Effect.map(acme.sessions, (sessions) => sessions.length === 0)
        )
      })
    )
  )

  it.live("a tenant whose database does not exist holds up no other, and becomes live once it exists", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const missing = Redacted.make(Redacted.value(acme.url).replace(acme.name, "no_such_database"))
      const url = yield* Ref.make(missing)
      const connector = PgConnector.layerFrom((tenant) =>
        Effect.map(Ref.get(url), (url) => Option.some({ url: tenant === "acme" ? url : globex.url }))
      )
      const globex = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* manager.awaitLive("globex")
        const error = yield* Effect.flip(call("activate"))
        assert.strictEqual(error.reason._tag, "ConnectFailed")
        yield* Ref.set(url, acme.url)
        yield* manager.awaitLive("acme")
        assert.strictEqual(yield* limit, 600)
      }).pipe(
        Effect.provide(
          SystemplaneLive({
            keys: keys.all,
            tenants: ["acme", "globex"],
            boot: "background",
            reconnect: { base: "20 millis", cap: "100 millis" }
          }).pipe(Layer.provide(connector), Layer.provide(TestPlane.silent))
        )
      )
    })
  )

  it.live("a suspended tenant that is wanted again and cannot be prepared is reported as activating", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Catalog.prepare(acme)
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* manager.suspend("acme")
        assert.strictEqual((yield* manager.health).status, "live")
        yield* acme.run("ALTER TABLE systemplane_entries RENAME TO hidden")
        yield* Effect.flip(manager.activate("acme"))
        assert.strictEqual(Option.getOrThrow(yield* manager.status("acme")).state, "activating")
        assert.notStrictEqual((yield* manager.health).status, "live")
        yield* acme.run("ALTER TABLE hidden RENAME TO systemplane_entries")
        yield* manager.awaitLive("acme")
      }).pipe(Effect.provide(TestPlane.layer({ acme }, { bootstrap: "verify", seedDefaults: false })))
    })
  )
})

describe("closing on a real server", () => {
  it.live("G12: drain and close do not wait for a peer that no longer answers", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const proxy = yield* FaultProxy.make
      const connector = PgConnector.layerRecord({ acme: { url: proxy.through(acme.url) } })
      // Destroying sockets takes no time; asking the peer for permission would take 5 seconds and more.
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* proxy.blackHole
        assert.deepStrictEqual((yield* manager.drain({ timeout: "3 seconds" })).unfinished, [])
      }).pipe(
        Effect.provide(
          SystemplaneLive({ keys: keys.all, tenants: ["acme"] }).pipe(
            Layer.provide(connector),
            Layer.provide(TestPlane.silent)
          )
        )
      )
    })
  )
})

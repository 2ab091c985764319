import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { Config, PgConnector, SystemplaneLive, TenantId, TenantManager, withTenant } from "effect-systemplane"
import * as PgOneTenantPerDatabase from "../../src/layers/postgres/PgOneTenantPerDatabase.ts"
import type { Query } from "../../src/services/Connector.ts"
import * as keys from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"

const [acme, globex, initech] = [TenantId.make("acme"), TenantId.make("globex"), TenantId.make("initech")]

/** A database as `identify` shows it; `system` is `null` to a role that may not ask for it. */
const at =
  (system: string | null, started: number, database = "app") =>
  () =>
    Effect.succeed([{ system, started: String(started), database }])

/** A connection that is lost. */
const gone = Effect.fail(
  new SqlError({ reason: new ConnectionError({ cause: new Error("lost"), message: "lost", operation: "execute" }) })
)

/** Opens a client or a session in a scope of its own, which it returns. */
const open = (
  claims: ReturnType<typeof PgOneTenantPerDatabase.make>,
  tenant: TenantId,
  server: Query,
  kind: PgOneTenantPerDatabase.Kind
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* Scope.provide(claims.claim(tenant, server, kind), scope)
    return { close: Scope.close(scope, Exit.void) }
  })

const refusal = (opening: ReturnType<typeof open>) => Effect.map(Effect.flip(opening), ({ reason }) => reason._tag)

describe("claims of databases", () => {
  it.effect("G5: after a restart of the server a second tenant on the same database is still refused", () =>
    Effect.gen(function* () {
      const claims = PgOneTenantPerDatabase.make()
      const session = yield* open(claims, acme, at("1", 1), "session")
      yield* session.close
      assert.strictEqual(yield* refusal(open(claims, globex, at("1", 2), "session")), "DatabaseShared")
      yield* open(claims, acme, at("1", 2), "client")
      assert.strictEqual(yield* refusal(open(claims, globex, at("1", 2), "client")), "DatabaseShared")
    })
  )

  it.effect("G5: clones of one backup are two databases while both servers are seen to run", () =>
    Effect.gen(function* () {
      const claims = PgOneTenantPerDatabase.make()
      yield* open(claims, acme, at("1", 1), "session")
      yield* open(claims, globex, at("1", 2), "session")
      assert.strictEqual(yield* refusal(open(claims, globex, at("1", 1), "client")), "DatabaseShared")
    })
  )

  it.effect(
    "G5: a session that died with a restart proves nothing: a second tenant on the same database is refused",
    () =>
      Effect.gen(function* () {
        const claims = PgOneTenantPerDatabase.make()
        let alive = true
        yield* open(claims, acme, () => (alive ? at("1", 1)() : gone), "session")
        alive = false
        assert.strictEqual(yield* refusal(open(claims, globex, at("1", 2), "session")), "DatabaseShared")
        yield* open(claims, acme, at("1", 2), "session")
      })
  )

  it.effect(
    "G5: a session on a primary and a client on the standby that took its place are refused, while both run",
    () =>
      Effect.gen(function* () {
        for (const [first, second] of [
          ["session", "client"],
          ["client", "session"]
        ] as const) {
          const claims = PgOneTenantPerDatabase.make()
          let server = at("1", 1)
          const earlier = yield* open(claims, acme, () => server(), first)
          assert.strictEqual(yield* refusal(open(claims, acme, at("1", 2), second)), "DatabasesDiffer")
          // A pool connects anew after a restart, and then reaches the same server.
          server = at("1", 2)
          yield* open(claims, acme, at("1", 2), second)
          yield* earlier.close
        }
      })
  )

  it.effect("G5: a claim ends with the last client of a tenant that has no session, and not before", () =>
    Effect.gen(function* () {
      const claims = PgOneTenantPerDatabase.make()
      const session = yield* open(claims, acme, at("1", 1), "session")
      claims.release(acme)
      assert.strictEqual(yield* refusal(open(claims, globex, at("1", 1), "client")), "DatabaseShared")
      yield* session.close
      // A late read of the released tenant.
      const client = yield* open(claims, acme, at("1", 1), "client")
      assert.strictEqual(yield* refusal(open(claims, globex, at("1", 1), "session")), "DatabaseShared")
      yield* client.close
      yield* open(claims, globex, at("1", 1), "session")
    })
  )

  it.effect("G5: one database is known to be one by roles of which only some may ask for the system identifier", () =>
    Effect.gen(function* () {
      for (const [first, second] of [
        [null, "1"],
        ["1", null],
        [null, null]
      ] as const) {
        const claims = PgOneTenantPerDatabase.make()
        yield* open(claims, acme, at(first, 1), "session")
        yield* open(claims, acme, at(second, 1), "client")
        for (const system of [first, second]) {
          assert.strictEqual(yield* refusal(open(claims, globex, at(system, 1), "session")), "DatabaseShared")
        }
        yield* open(claims, globex, at(second, 1, "another"), "session")
        // Databases of two servers have equal numbers as a rule.
        yield* open(claims, initech, at(second, 2), "session")
      }
    })
  )

  it.effect("G5: databases that are renamed to each other's names go to the tenants whose addresses lead there", () =>
    Effect.gen(function* () {
      const everyone = [acme, globex, initech]
      for (const tenants of [everyone.slice(0, 2), everyone]) {
        const claims = PgOneTenantPerDatabase.make()
        /** The number of the database that each name leads to. */
        let numbers = tenants.map((_, number) => String(number))
        const server = (index: number) => () => Effect.suspend(() => at("1", 1, numbers[index])())
        for (const [index, tenant] of tenants.entries()) {
          yield* (yield* open(claims, tenant, server(index), "session")).close
        }
        numbers = [...numbers.slice(1), numbers[0]!]
        let refused = [...tenants.keys()]
        for (let round = 0; round < 2; round++) {
          refused = yield* Effect.filter(refused, (index) =>
            Effect.map(Effect.exit(open(claims, tenants[index]!, server(index), "session")), Exit.isFailure)
          )
        }
        assert.deepStrictEqual(refused, [])
      }
    })
  )

  it.effect(
    "G5: a tenant whose client alone has connected to another database since keeps the one of its sessions, until it is released",
    () =>
      Effect.gen(function* () {
        const claims = PgOneTenantPerDatabase.make()
        let number = "a"
        const session = yield* open(claims, acme, at("1", 1, "a"), "session")
        yield* open(claims, acme, () => Effect.suspend(() => at("1", 1, number)()), "client")
        yield* session.close
        assert.strictEqual(yield* refusal(open(claims, globex, at("1", 1, "a"), "session")), "DatabaseShared")
        number = "b"
        assert.strictEqual(yield* refusal(open(claims, globex, at("1", 1, "a"), "session")), "DatabaseShared")
        claims.release(acme)
        yield* open(claims, globex, at("1", 1, "a"), "session")
        yield* open(claims, acme, at("1", 1, "b"), "session")
      })
  )

  it.effect("G5: a client that has connected to another database since is found, and the session does not go on", () =>
    Effect.gen(function* () {
      for (const [system, started, number] of [
        ["1", 1, "b"],
        ["2", 1, "a"],
        ["1", 2, "a"]
      ] as const) {
        const claims = PgOneTenantPerDatabase.make()
        let client = at("1", 1, "a")
        yield* open(claims, acme, () => client(), "client")
        const session = yield* open(claims, acme, at("1", 1, "a"), "session")
        assert.isFalse(yield* claims.areApart(acme))
        client = at(system, started, number)
        assert.isTrue(yield* claims.areApart(acme))
        yield* session.close
        assert.isFalse(claims.reachedByClient(acme))
        assert.strictEqual(yield* refusal(open(claims, acme, at("1", 1, "a"), "session")), "DatabasesDiffer")
        client = at("1", 1, "a")
        yield* open(claims, acme, at("1", 1, "a"), "session")
        assert.isFalse(yield* claims.areApart(acme))
      }
    })
  )

  it.effect("G4: a session is not kept on a server that a new client is led away from, as after a fail-over", () =>
    Effect.gen(function* () {
      const claims = PgOneTenantPerDatabase.make()
      const session = yield* open(claims, acme, at("1", 1), "session")
      assert.isFalse(yield* claims.areApart(acme))
      const promoted = at("1", 2)
      assert.strictEqual(yield* refusal(open(claims, acme, promoted, "client")), "DatabasesDiffer")
      assert.isTrue(yield* claims.areApart(acme))
      yield* session.close
      yield* open(claims, acme, promoted, "session")
      yield* open(claims, acme, promoted, "client")
      assert.isFalse(yield* claims.areApart(acme))
    })
  )

  it.live(
    "G5: a role that may ask neither for the system identifier nor for the start shares no database with one that may",
    () =>
      Effect.gen(function* () {
        const role = yield* TestDatabase.makeRole
        const database = yield* TestDatabase.make
        yield* database.run("REVOKE EXECUTE ON FUNCTION pg_control_system(), pg_postmaster_start_time() FROM PUBLIC")
        yield* database.run(`GRANT ALL ON SCHEMA public TO ${role.user}`)
        const { url } = database
        const byRole = database.urlAs(role)
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          yield* manager.activate("acme")
          assert.strictEqual((yield* Effect.flip(manager.activate("globex"))).reason._tag, "DatabaseShared")
          assert.strictEqual(yield* Config.get(keys.Limit).pipe(withTenant("acme")), 600)
        }).pipe(
          Effect.provide(
            SystemplaneLive({ keys: keys.all, boot: "background" }).pipe(
              Layer.provide(PgConnector.layerRecord({ acme: { url: byRole, listenUrl: url }, globex: { url } }))
            )
          )
        )
      }).pipe(Effect.scoped)
  )

  it.live("G5: a tenant whose statements and whose session reach two databases is refused", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* TestDatabase.make, yield* TestDatabase.make]
      const live = SystemplaneLive({ keys: keys.all, boot: "background" }).pipe(
        Layer.provide(PgConnector.layerRecord({ acme: { url: one.url, listenUrl: other.url } }))
      )
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        for (let attempt = 0; attempt < 3; attempt++) {
          const { reason } = yield* Effect.flip(manager.activate("acme"))
          assert.strictEqual(reason._tag, "DatabasesDiffer")
        }
        assert.strictEqual(yield* Config.get(keys.Limit).pipe(withTenant("acme")), 600)
      }).pipe(Effect.provide(live))
    }).pipe(Effect.scoped)
  )
})

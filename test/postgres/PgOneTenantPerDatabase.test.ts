import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { Config, PgConnector, SystemplaneLive, TenantId, TenantManager, withTenant } from "effect-systemplane"
import * as PgOneTenantPerDatabase from "../../src/layers/postgres/PgOneTenantPerDatabase.ts"
import type { Query } from "../../src/services/Connector.ts"
import * as keys from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"

const [acme, globex] = [TenantId.make("acme"), TenantId.make("globex")]

/** A server as `identify` shows it. */
const at = (system: string, started: number) => () => Effect.succeed([{ system, started, database: "app" }])

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

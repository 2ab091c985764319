import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option } from "effect"
import { isSqlError } from "effect/sql/SqlError"
import { Config, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as PgSchemaCheck from "../../src/layers/postgres/schema/PgSchemaCheck.ts"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const lost = {
  table: ["DROP TABLE systemplane_entries CASCADE"],
  schema: ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"],
  columns: ["ALTER TABLE systemplane_entries DROP COLUMN updated_by CASCADE, DROP COLUMN updated_at CASCADE"],
  "primary key": ["ALTER TABLE systemplane_entries DROP CONSTRAINT systemplane_entries_pkey"],
  sequence: ["DROP SEQUENCE systemplane_revision_seq CASCADE"],
  "function that notifies": ["DROP FUNCTION systemplane_entries_notify() CASCADE"],
  "trigger that records": ["ALTER TABLE systemplane_entries DISABLE TRIGGER USER"],
  history: ["DROP TABLE systemplane_history CASCADE"]
}

const planeOptions = { maxStaleness: "2 seconds", reconnect: { base: "50 millis", cap: "200 millis" } } as const

describe("a database whose objects are lost while its tenant is live", () => {
  it.live(
    "G13: a tenant is prepared again by itself, whatever of its objects is dropped or disabled, and new credentials change nothing about that",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        // A table that is not there is refused, and so is not in order.
        const isInOrder = PgSchemaCheck.findsEverything((sql, params) => acme.run(sql, params), []).pipe(
          Effect.catchDefect((error) => (isSqlError(error) ? Effect.succeed(false) : Effect.die(error)))
        )
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          for (const [what, statements] of Object.entries(lost)) {
            yield* manager.awaitLive("acme")
            yield* Effect.forEach(statements, (statement) => acme.run(statement))
            assert.isFalse(yield* isInOrder, what)
            // What was not noticed yet is no failure of the new credentials, and is noticed after them.
            yield* manager.rotateCredentials("acme")
            yield* TestDatabase.eventually(`the ${what} is there again`, isInOrder)
          }
          yield* manager.awaitLive("acme")
          assert.deepInclude(yield* Config.set(Limit, 9, { actor: "ada" }), { value: 9, source: "stored" })
        }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme }, planeOptions)))
      }).pipe(Effect.scoped)
  )

  it.live("G6: while row level security hides the rows, no default is read", () =>
    Effect.gen(function* () {
      const owner = yield* TestDatabase.makeRole
      const acme = yield* TestDatabase.make
      yield* acme.run(`ALTER DATABASE ${acme.name} OWNER TO ${owner.user}`)
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* Config.set(Limit, 9, { actor: "ada" })
        const seen = new Set<unknown>()
        const read = Effect.matchEffect(Config.get(Limit), {
          onSuccess: (value) => Effect.sync(() => seen.add(value)),
          onFailure: ({ reason }) => Effect.sync(() => seen.add(reason._tag))
        })
        yield* Effect.forkScoped(Effect.forever(Effect.andThen(read, Effect.sleep("5 millis"))))
        yield* acme.run("ALTER TABLE systemplane_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        yield* TestDatabase.eventually(
          "the status says that rows are hidden",
          Effect.map(manager.status("acme"), (status) => JSON.stringify(status).includes("RowsHidden"))
        )
        yield* acme.run("ALTER TABLE systemplane_entries DISABLE ROW LEVEL SECURITY")
        yield* manager.awaitLive("acme")
        assert.deepInclude(yield* Config.entry(Limit), { value: 9, stale: false })
        assert.isFalse(seen.has(Limit.defaultValue), [...seen].join())
      }).pipe(
        withTenant("acme"),
        Effect.provide(TestPlane.layer({ acme: { ...acme, url: acme.urlAs(owner) } }, planeOptions))
      )
    }).pipe(Effect.scoped)
  )

  it.live(
    "G13: two rows of one name, once the primary key is gone, are reported, and the tenant returns once one is removed",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const lines: Array<string> = []
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          yield* Config.set(Limit, 7, { actor: "ada" })
          yield* acme.run("ALTER TABLE systemplane_entries DROP CONSTRAINT systemplane_entries_pkey")
          yield* acme.run("INSERT INTO systemplane_entries SELECT * FROM systemplane_entries WHERE key = $1", [
            Limit.key
          ])
          yield* TestDatabase.eventually(
            "the tenant is not live, and says why",
            Effect.map(
              manager.status("acme"),
              Option.exists(
                ({ lastError, state }) => state !== "live" && lastError?.message.includes("primary key") === true
              )
            )
          )
          yield* TestDatabase.eventually(
            "a read says why",
            Effect.match(Config.get(Limit), {
              onSuccess: () => false,
              onFailure: ({ message }) => message.includes("primary key")
            })
          )
          const [{ count }] = yield* acme.run("SELECT count(*)::int FROM systemplane_entries WHERE key = $1", [
            Limit.key
          ])
          assert.strictEqual(count, 2)
          yield* acme.run(
            "DELETE FROM systemplane_entries AS e USING systemplane_entries AS o WHERE e.key = o.key AND e.ctid > o.ctid"
          )
          yield* manager.awaitLive("acme")
          assert.strictEqual(yield* Config.get(Limit), 7)
          const told = lines.filter((line) => line.includes("primary key"))
          assert.isAtMost(told.length, 3, told.join("\n"))
        }).pipe(
          withTenant("acme"),
          Effect.provide(
            TestPlane.over(
              { acme },
              SystemplaneLive({
                keys: keys.all,
                tenants: ["acme"],
                maxStaleness: "1 second",
                reconnect: { base: "20 millis", cap: "200 millis" }
              })
            ).pipe(
              Layer.provide(
                Logger.layer([
                  Logger.make((options) => void lines.push(JSON.stringify(Logger.formatStructured.log(options))))
                ])
              )
            )
          )
        )
      }).pipe(Effect.scoped)
  )
})

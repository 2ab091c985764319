import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option } from "effect"
import { Config, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as keys from "../support/keys.ts"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

describe("a database whose objects are dropped and made anew", () => {
  for (const [what, sql] of [
    ["table", "DROP TABLE systemplane_entries CASCADE"],
    ["schema", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"]
  ] as const) {
    it.live(`G13: a tenant is prepared again by itself after its ${what} was dropped`, () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        yield* Effect.gen(function* () {
          const manager = yield* TenantManager
          yield* manager.awaitLive("acme")
          for (const statement of sql.split("; ")) yield* acme.run(statement)
          yield* TestDatabase.eventually(
            "the table is there again",
            Effect.map(acme.run("SELECT to_regclass('systemplane_entries') AS found"), ([row]) => row.found !== null)
          )
          yield* manager.awaitLive("acme")
          assert.deepInclude(yield* Config.set(Limit, 9, { actor: "ada" }), { value: 9, source: "stored" })
        }).pipe(
          withTenant("acme"),
          Effect.provide(
            TestPlane.layer(
              { acme },
              { maxStaleness: "3 seconds", reconnect: { base: "50 millis", cap: "200 millis" } }
            )
          )
        )
      }).pipe(Effect.scoped)
    )
  }

  it.live(
    "G13: a primary key that is dropped while the tenant is live is reported, and the tenant returns once it is restored",
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
            "the tenant is stale, and says why",
            Effect.map(
              manager.status("acme"),
              Option.exists(
                ({ lastError, state }) => state === "stale" && lastError?.message.includes("primary key") === true
              )
            )
          )
          const read = yield* Effect.flip(Config.get(Limit))
          assert.include(read.message, "primary key")
          const [{ count }] = yield* acme.run("SELECT count(*)::int FROM systemplane_entries WHERE key = $1", [
            Limit.key
          ])
          assert.strictEqual(count, 2)
          yield* acme.run(
            "DELETE FROM systemplane_entries AS e USING systemplane_entries AS o WHERE e.key = o.key AND e.ctid > o.ctid"
          )
          yield* acme.run("ALTER TABLE systemplane_entries ADD PRIMARY KEY (namespace, key)")
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

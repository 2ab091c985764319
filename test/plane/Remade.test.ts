import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Config, TenantManager, withTenant } from "effect-systemplane"
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
})

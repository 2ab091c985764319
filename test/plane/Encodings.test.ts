import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChangeHistory, Config, TenantManager, withTenant } from "effect-systemplane"
import { Burst, Greeting, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

/** What other programs can write in `SQL_ASCII`, where nothing is checked. 233 is no UTF-8 on its own. */
const unreadable = [
  `UPDATE systemplane_entries SET value = ('"x' || chr(233) || '"')::jsonb WHERE key = 'greeting'`,
  `UPDATE systemplane_entries SET value = '21', updated_by = 'x' || chr(233) WHERE key = 'burst'`,
  `INSERT INTO systemplane_entries (namespace, key, value) VALUES ('texts', 'other', ('"x' || chr(233) || '"')::jsonb)`,
  // It claims to be a seed, whose value is hashed.
  `INSERT INTO systemplane_entries (namespace, key, value, updated_by)
   VALUES ('texts', 'seed', ('"x' || chr(233) || '"')::jsonb, 'systemplane.manager:0123456789abcdef')`,
  `INSERT INTO systemplane_entries (namespace, key, value) VALUES ('texts', chr(233), '1'), ('texts', chr(234), '1'), (chr(233), 'x', '1')`,
  `DO $$ BEGIN EXECUTE 'ALTER TABLE systemplane_entries ADD COLUMN "' || chr(233) || '" text'; END $$`
]

describe("a database in SQL_ASCII", () => {
  it.live(
    "G6: bytes that are not UTF-8 reject the row that has them, and concern no other; nor does a column with such a name",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.makeEncoded("SQL_ASCII")
        const rejected = Effect.gen(function* () {
          assert.deepInclude(yield* Config.entry(Greeting), { value: "grüße" })
          const reason = Effect.map(Config.entry(Greeting), (entry) => entry.rejected?.reason)
          yield* TestDatabase.eventually(
            "the row is rejected",
            Effect.map(reason, (found) => found === "its text is not UTF-8")
          )
          yield* TestDatabase.eventually(
            "the next row is taken",
            Effect.map(Config.entry(Burst), (entry) => entry.value === 21 && entry.updatedBy === "\ufffdxé")
          )
        })
        const onAcme = <A, E>(test: Effect.Effect<A, E, Config | ChangeHistory | TenantManager>) =>
          test.pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme }, { maxStaleness: "1 hour" })))

        yield* onAcme(
          Effect.gen(function* () {
            yield* Config.set(Greeting, "grüße", { actor: "ü" })
            yield* Config.set(Burst, 20, { actor: "ü" })
            for (const statement of unreadable) yield* acme.run(statement)
            yield* rejected
            const revision = yield* acme.write(Limit.namespace, Limit.key, 7)
            yield* TestDatabase.eventually(
              "the next change is there",
              Effect.map(Config.entry(Limit), (entry) => entry.revision === revision)
            )
          })
        )
        yield* onAcme(
          Effect.gen(function* () {
            yield* TenantManager.use((manager) => manager.awaitLive("acme"))
            yield* rejected
            assert.strictEqual(yield* Config.get(Limit), 7)
            const { records } = yield* ChangeHistory.ofKey(Greeting)
            assert.deepInclude(records[0], { previousValue: "grüße", oversized: true })
            assert.notProperty(records[0], "value")
          })
        )
      }).pipe(Effect.scoped)
  )
})

/** The table need not be in the first schema of the path: what is made lies beside it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

describe("a role with a schema of its own name, and an older table in public", () => {
  it.live("a schema is upgraded where its table is in the search_path, and every writer can go on", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* acme.run("CREATE SCHEMA postgres")
      yield* acme.run(
        `CREATE TABLE public.systemplane_entries (
           namespace text, key text, value jsonb NOT NULL,
           updated_at timestamptz NOT NULL DEFAULT now(), updated_by text NOT NULL DEFAULT '', PRIMARY KEY (namespace, key)
         )`
      )
      yield* acme.run("INSERT INTO public.systemplane_entries (namespace, key, value) VALUES ($1, $2, '7')", [
        Limit.namespace,
        Limit.key
      ])
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* Config.get(Limit), 7)
        yield* acme.run("UPDATE public.systemplane_entries SET value = '8' WHERE key = $1", [Limit.key])
        yield* TestDatabase.eventually(
          "8",
          Effect.map(Config.get(Limit), (value) => value === 8)
        )
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme })))
      assert.deepStrictEqual(
        yield* acme.run(
          "SELECT relnamespace::regnamespace::text AS schema FROM pg_class WHERE relname = 'systemplane_revision_seq'"
        ),
        [{ schema: "public" }]
      )
    }).pipe(Effect.scoped)
  )
})

describe("a database belongs to the tenant that came first", () => {
  it.live("G5: a database belongs to the tenant that came first, also while that tenant is suspended", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* manager.activate("acme")
        yield* manager.suspend("acme")
        yield* acme.run(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'effect-systemplane%'",
          [acme.name]
        )
        const error = yield* Effect.flip(manager.activate("globex"))
        assert.strictEqual(error.reason._tag, "DatabaseShared")
      }).pipe(Effect.provide(TestPlane.layer({ acme, globex: acme }, { tenants: [] })))
    }).pipe(Effect.scoped)
  )
})

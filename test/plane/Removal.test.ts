import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Config, TenantCache, TenantId, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { collect, until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

describe("a tenant that was removed", () => {
  it.live("a removed tenant leaves nothing in memory; activated again it is read anew", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const cache = yield* TenantCache
        const manager = yield* TenantManager
        const watched = yield* collect(Config.watch(Limit))
        const before = yield* Config.set(Limit, 7, { actor: "ada" })
        yield* until("the write is watched", () => watched.at(-1)?.value === 7)

        yield* manager.remove("acme")
        assert.isUndefined(cache.lastKnown(TenantId.make("acme"), Limit))
        assert.isTrue(Option.isNone(yield* manager.status("acme")))
        // A read asks the table, and neither keeps the answer nor brings the tenant back.
        const revision = yield* acme.write(Limit.namespace, Limit.key, 8)
        assert.strictEqual(yield* Config.get(Limit), 8)
        assert.isUndefined(cache.lastKnown(TenantId.make("acme"), Limit))
        assert.isTrue(Option.isNone(yield* manager.status("acme")))
        assert.strictEqual(watched.at(-1)?.revision, before.revision)

        yield* manager.activate("acme")
        assert.strictEqual(cache.lastKnown(TenantId.make("acme"), Limit)?.revision, revision)
        yield* until("what changed meanwhile is watched", () => watched.at(-1)?.revision === revision)
        const later = yield* acme.write(Limit.namespace, Limit.key, 9)
        yield* until("and what changes from now on", () => watched.at(-1)?.revision === later)
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme })))
    })
  )
})

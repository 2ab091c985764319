import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Config, notInMemory, TenantCache, TenantId, withTenant } from "effect-systemplane"
import { ApiKey, Burst, Feature, Greeting, Limit } from "../support/keys.ts"
import { counted } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

describe("maxEntriesPerTenant", () => {
  it.live("keys beyond maxEntriesPerTenant are read and written in the table, cannot be watched, and are counted", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const cache = yield* TenantCache
        const answered = [Limit, Burst, Greeting, Feature, ApiKey].map(
          (key) => cache.view(TenantId.make("limited"))!.peek(key as typeof Limit) !== notInMemory
        )
        assert.deepStrictEqual(answered, [true, true, false, false, false])

        assert.strictEqual(yield* Config.get(Greeting), "hello")
        const revision = yield* database.write(Greeting.namespace, Greeting.key, "good day")
        // Read through: there is nothing to wait for.
        assert.deepInclude(yield* Config.entry(Greeting), { value: "good day", revision, stale: false })
        yield* Config.set(Feature, { enabled: true, percent: 5 }, { actor: "ada" })
        assert.deepStrictEqual(yield* Config.get(Feature), { enabled: true, percent: 5 })

        const error = yield* Effect.flip(Stream.runHead(Config.watch(Greeting)))
        assert.strictEqual(error.reason._tag, "NotSupported")
        assert.include(error.message, "maxEntriesPerTenant")

        assert.strictEqual(yield* counted("cache_dropped_total", "limited"), 3)
      }).pipe(withTenant("limited"), Effect.provide(TestPlane.layer({ limited: database }, { maxEntriesPerTenant: 2 })))
    })
  )
})

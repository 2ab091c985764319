import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { until } from "../support/Observe.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

describe("a handle, on a real server", () => {
  it.live("a handle outlasts a lost session, suspension, removal and re-activation", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      yield* Effect.gen(function* () {
        const manager = yield* TenantManager
        const handle = yield* Config.handle(Limit)
        const write = (value: number) => acme.write(Limit.namespace, Limit.key, value)

        yield* write(1)
        yield* until("a write is seen", () => handle.current === 1)
        assert.isFalse(handle.entry.stale)

        assert.strictEqual(yield* acme.killListeners, 1)
        yield* write(2)
        yield* until("and one during an outage", () => handle.current === 2 && !handle.entry.stale)

        yield* manager.suspend("acme")
        yield* write(3)
        assert.deepInclude(handle.entry, { value: 2, stale: true })
        yield* manager.activate("acme")
        assert.deepInclude(handle.entry, { value: 3, stale: false })

        yield* manager.remove("acme")
        yield* acme.erase(Limit.namespace, Limit.key)
        const revision = yield* write(4)
        assert.deepInclude(handle.entry, { value: 3, stale: true })
        yield* manager.activate("acme")
        assert.deepInclude(handle.entry, { value: 4, revision, stale: false })
        yield* write(5)
        yield* until("and what is written from now on", () => handle.current === 5)
      }).pipe(withTenant("acme"), Effect.provide(TestPlane.layer({ acme })))
    })
  )
})

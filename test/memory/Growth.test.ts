/** What a plane keeps of tenants that came and went, and a process of a plane that was closed. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { Config, TenantCache, withTenant } from "effect-systemplane"
import { SystemplaneMemory } from "effect-systemplane/testing"
import * as Growth from "../../dev/Growth.ts"
import * as keys from "../support/keys.ts"
import { silent } from "../support/TestPlane.ts"

setFlagsFromString("--expose-gc")
globalThis.gc = runInNewContext("gc")

describe("what is kept", () => {
  it.live("G12: what is kept of tenants that came and went, and of invented ids, is bounded", () =>
    Effect.gen(function* () {
      // Caches with a bound are not full yet. `npm run check:growth` has the number.
      const most = 8_000
      const measure = { warmUp: 50, count: 150 }
      assert.isAtMost((yield* Growth.lifecycle(measure)).grown / 150, most, "lifecycle")
      assert.isAtMost((yield* Growth.invented(measure)).grown / 150, most, "invented")
    })
  )

  it.live("G12: a plane that was closed is not reachable, though a fiber's last read went to it", () =>
    Effect.gen(function* () {
      const closed = yield* Effect.gen(function* () {
        const scope = yield* Scope.make()
        const plane = yield* SystemplaneMemory({ keys: keys.all, tenants: ["acme"] }).pipe(
          Layer.provide(silent),
          Layer.buildWithScope(scope)
        )
        yield* Effect.gen(function* () {
          yield* Config.get(keys.Limit)
          yield* Config.get(keys.Limit)
        }).pipe(withTenant("acme"), Effect.provideContext(plane))
        const cache = yield* Effect.provideContext(TenantCache, plane)
        yield* Scope.close(scope, Exit.void)
        return new WeakRef(cache)
      })
      for (let i = 0; i < 50 && closed.deref() !== undefined; i++) {
        yield* Effect.sleep(10)
        globalThis.gc!()
      }
      assert.isUndefined(closed.deref())
    })
  )
})

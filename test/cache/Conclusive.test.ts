import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { TenantId } from "effect-systemplane"
import * as Conclusive from "../../src/layers/cache/Conclusive.ts"

describe("reads that cannot be judged", () => {
  it.effect("G13: a read that cannot be judged is asked again after growing pauses, and ends as a failure", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      const once = Effect.sync(() => {
        times.push(clock.currentTimeMillisUnsafe())
        return { inconclusive: times.length !== 30 }
      })
      const read = Conclusive.read(TenantId.make("acme"), once)
      const first = yield* Effect.forkChild(Effect.flip(read), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.deepInclude((yield* Fiber.join(first)).reason, { _tag: "Refused", code: "40001" })
      assert.deepStrictEqual(times, [0, 0, 0, 0, 10, 30, 70, 150, 310, 630, 1270].slice(0, times.length))
      assert.strictEqual(times.length, 11)
    })
  )
})

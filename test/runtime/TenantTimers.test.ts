import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as MonotonicClock from "../../src/layers/runtime/MonotonicClock.ts"
import * as TenantTimers from "../../src/layers/runtime/TenantTimers.ts"

const never = Number.POSITIVE_INFINITY

/** A deadline that is due once in `period` milliseconds, and when it was done. */
const every = (period: number, clock: Clock.Clock) => {
  let dueAt = MonotonicClock.millisOf(clock) + period
  const done: Array<number> = []
  let looks = 0
  return {
    done,
    looks: () => looks,
    dueAt: () => {
      looks++
      return dueAt
    },
    perform: Effect.map(MonotonicClock.millis, (now) => {
      done.push(now)
      dueAt = now + period
    })
  }
}

describe("TenantTimers", () => {
  it.effect("TenantTimers does each when it is due, and no longer than its scope", () =>
    Effect.gen(function* () {
      const timers = yield* TenantTimers.make(1000)
      const clock = yield* Clock.Clock
      const [often, seldom] = [every(250, clock), every(2300, clock)]
      yield* timers.add(often)
      const scope = yield* Scope.make()
      yield* Scope.provide(timers.add(seldom), scope)
      yield* TestClock.adjust("2400 millis")
      assert.deepStrictEqual(often.done.slice(0, 3), [250, 500, 750])
      assert.deepStrictEqual(seldom.done, [2300])
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(seldom.done, [2300])
    }).pipe(Effect.scoped)
  )

  it.effect("what became due earlier than it was is late by the longest pause at most", () =>
    Effect.gen(function* () {
      const timers = yield* TenantTimers.make(1000)
      let dueAt = never
      let doneAt: number | undefined
      yield* timers.add({
        dueAt: () => dueAt,
        perform: Effect.map(MonotonicClock.millis, (now) => {
          doneAt = now
          dueAt = never
        })
      })
      yield* TestClock.adjust("5100 millis")
      dueAt = 5100
      yield* TestClock.adjust("1 second")
      assert.isAtMost(doneAt!, 6100)
    }).pipe(Effect.scoped)
  )

  it.effect("one that dies keeps none of the others waiting", () =>
    Effect.gen(function* () {
      const timers = yield* TenantTimers.make(1000)
      const clock = yield* Clock.Clock
      const [dies, lives] = [every(100, clock), every(100, clock)]
      yield* timers.add({ ...dies, perform: Effect.andThen(dies.perform, Effect.die(new Error("no"))) })
      yield* timers.add(lives)
      yield* TestClock.adjust("5 seconds")
      assert.isAbove(lives.done.length, 30)
      assert.deepStrictEqual(dies.done, lives.done)
    }).pipe(Effect.scoped)
  )

  it.effect("the more there are, the more rarely all of them are looked at", () =>
    Effect.gen(function* () {
      const timers = yield* TenantTimers.make(1000)
      const clock = yield* Clock.Clock
      const deadlines = Array.from({ length: 1000 }, (_, i) => every(10 + (i % 10), clock))
      yield* Effect.forEach(deadlines, timers.add, { discard: true })
      yield* TestClock.adjust("10 seconds")
      // Twice a turn, and a turn every 100 ms, with one at either end.
      for (const { looks } of deadlines) assert.isAtMost(looks(), 202)
      assert.isAbove(Math.min(...deadlines.map(({ done }) => done.length)), 80)
    }).pipe(Effect.scoped)
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { activate, breathe, limitKey, onPlane, promptly, statusOf } from "./ScriptedPlane.ts"

/** The delays between attempts, in milliseconds. */
const delays = (attempts: ReadonlyArray<number>) => attempts.slice(1).map((at, i) => at - attempts[i]!)

/** Asks for the tenant and does not wait for it. */
const startActivating = Effect.forkScoped(Effect.exit(activate()), { startImmediately: true })

const limit = Config.entry(Limit).pipe(withTenant("acme"))

describe("reconnecting", () => {
  for (const [drawn, expected] of [
    [0.5, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]],
    [0.99, [495, 990, 1980, 3960, 7920, 15_840, 29_700, 29_700, 29_700]]
  ] as const) {
    it.effect(
      `G11: reconnects double their delay from 500 ms to a cap of 30 s, each a drawn share of it: ${drawn}`,
      () =>
        onPlane({ random: drawn }, function* ({ acme }) {
          acme.opening = "fail"
          yield* startActivating
          yield* TestClock.adjust("3 minutes")
          assert.deepStrictEqual(delays(acme.attempts).slice(0, expected.length), [...expected])
        })
    )
  }

  it.effect("G13: reconnecting never gives up, whatever ends the attempts", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      acme.opening = "fail"
      yield* startActivating
      for (const opening of ["fail", "die", "interrupt"] as const) {
        acme.opening = opening
        const before = acme.attempts.length
        yield* TestClock.adjust("30 minutes")
        assert.isAbove(acme.attempts.length - before, 100)
      }
      acme.opening = "succeed"
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* statusOf()).state, "live")
    })
  )

  it.effect("G13: a tenant is prepared again though the connector's statements were interrupted", () =>
    onPlane({ seedDefaults: true, random: 0.5 }, function* ({ acme }) {
      acme.clients = "interrupt"
      const error = yield* Effect.flip(activate())
      assert.strictEqual(error.reason._tag, "Unanswered")
      acme.clients = "yes"
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* statusOf()).state, "live")
    })
  )

  it.effect("G13: a session whose release dies is replaced", () =>
    onPlane({ random: 0.5 }, function* ({ acme, lines }) {
      acme.releasing = "die"
      yield* activate()
      acme.lose()
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* statusOf()).state, "live")
      assert.deepStrictEqual([acme.attempts.length, acme.open], [2, 1])
      // The feed went on: it was not followed anew after a defect.
      assert.notInclude(lines, "Following a tenant failed unexpectedly")
      acme.releasing = "yes"
    })
  )

  it.effect("G13: a session that never finishes opening is abandoned, and tried again", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      acme.opening = "hang"
      const error = yield* Effect.forkScoped(Effect.flip(activate()), {
        startImmediately: true
      })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* Fiber.join(error)).reason._tag, "ConnectFailed")
      acme.opening = "succeed"
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* statusOf()).state, "live")
    })
  )

  it.effect("G11: the back-off starts over only after a session that outlived its pause", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      acme.answering = "no"
      yield* startActivating
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(delays(acme.attempts), [250, 500, 1000, 2000])
      acme.answering = "yes"
      // Live 3.75 seconds later, after a pause of at most 8 seconds, and then for as long as that.
      yield* TestClock.adjust("12 seconds")
      assert.strictEqual((yield* statusOf()).state, "live")
      acme.opening = "fail"
      const before = acme.attempts.length
      const lostAt = yield* Clock.currentTimeMillis
      acme.lose()
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(delays([lostAt, ...acme.attempts.slice(before)]), [250, 500, 1000])
    })
  )

  it.effect("G11: a server that always hangs up after one read is connected to with growing delays", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      yield* activate()
      for (let i = 0; i < 9; i++) {
        const before = acme.reads
        acme.lose()
        while (acme.reads === before) yield* TestClock.adjust("125 millis")
        yield* breathe
      }
      assert.deepStrictEqual(delays(acme.attempts), [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
      assert.deepInclude(yield* statusOf(), { state: "live", failures: 0 })
    })
  )

  it.effect("G1: after every reconnect what changed during the outage is there without a second write", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      yield* activate()
      for (const value of [1, 2, 3]) {
        acme.lose()
        acme.write(limitKey, value)
        yield* TestClock.adjust("1 second")
        assert.deepInclude(yield* limit, { value, stale: false })
      }
    })
  )

  it.effect(
    "G4: reads are answered from the snapshot, marked stale, until the third failed attempt, then by the database",
    () =>
      onPlane({ random: 0.5 }, function* ({ acme }) {
        acme.write(limitKey, 1)
        yield* activate()
        acme.opening = "fail"
        acme.lose()
        acme.write(limitKey, 2)
        yield* breathe
        for (const failures of [0, 1, 2]) {
          assert.deepInclude(yield* statusOf(), { state: "disconnected", failures })
          assert.deepInclude(yield* limit, { value: 1, stale: true })
          yield* TestClock.adjust(250 * 2 ** failures)
        }
        assert.strictEqual(acme.statements, 0)
        assert.deepInclude(yield* statusOf(), { state: "stale", failures: 3 })
        assert.deepInclude(yield* limit, { value: 2, stale: false })
        // The key, and everything, since the key had changed (G9); then the key alone.
        assert.strictEqual(acme.statements, 2)
        yield* limit
        assert.strictEqual(acme.statements, 3)

        acme.opening = "succeed"
        yield* TestClock.adjust("2 seconds")
        assert.deepInclude(yield* statusOf(), { state: "live", failures: 0, lastError: undefined })
        yield* limit
        assert.strictEqual(acme.statements, 3)
      })
  )

  it.effect("a status shows what the last attempt failed with, not an earlier one", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      acme.answering = "no"
      yield* startActivating
      yield* promptly("the read has failed", () => acme.reads === 1)
      yield* breathe
      const reason = Effect.map(statusOf(), ({ lastError }) => lastError?.reason._tag)
      assert.strictEqual(yield* reason, "Unanswered")
      acme.opening = "fail"
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* reason, "ConnectFailed")
    })
  )

  it.effect("an activation fails with the first error while the plane keeps trying", () =>
    onPlane({ random: 0.5 }, function* ({ acme }) {
      acme.opening = "fail"
      const manager = yield* TenantManager
      const error = yield* Effect.flip(manager.activate("acme"))
      assert.strictEqual(error.reason._tag, "ConnectFailed")
      const live = yield* Effect.forkScoped(manager.awaitLive("acme"), { startImmediately: true })
      acme.opening = "succeed"
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(live)
    })
  )
})

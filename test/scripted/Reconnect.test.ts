import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { breathe, capture, make, promptly, withRandom } from "./plane.ts"

const limitKey = `${Limit.namespace}/${Limit.key}`

/** The delays between attempts, in milliseconds. */
const delays = (attempts: ReadonlyArray<number>) => attempts.slice(1).map((at, i) => at - attempts[i]!)

const statusOf = (tenant: string) =>
  TenantManager.use((manager) => manager.status(tenant)).pipe(Effect.map(Option.getOrThrow))

/** Asks for the tenant and does not wait for it. */
const activate = (tenant: string) =>
  TenantManager.use((manager) => Effect.forkScoped(Effect.exit(manager.activate(tenant)), { startImmediately: true }))

const limit = Config.entry(Limit).pipe(withTenant("acme"))

describe("behaviour 4: reconnecting", () => {
  for (const [drawn, expected] of [
    [0.5, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]],
    [0.99, [495, 990, 1980, 3960, 7920, 15_840, 29_700, 29_700, 29_700]]
  ] as const) {
    it.effect(`G11 doubles the delay from 500 ms to a cap of 30 s, each a drawn share of it: ${drawn}`, () => {
      const plane = make()
      const acme = plane.tenant("acme")
      acme.opening = "fail"
      return Effect.gen(function* () {
        yield* activate("acme")
        yield* TestClock.adjust("3 minutes")
        assert.deepStrictEqual(delays(acme.attempts).slice(0, expected.length), [...expected])
      }).pipe(Effect.provide(plane.layer), withRandom(drawn))
    })
  }

  it.effect("G13 never gives up, whatever ends the attempts", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    acme.opening = "fail"
    return Effect.gen(function* () {
      yield* activate("acme")
      for (const opening of ["fail", "die", "interrupt"] as const) {
        acme.opening = opening
        const before = acme.attempts.length
        yield* TestClock.adjust("30 minutes")
        assert.isAbove(acme.attempts.length - before, 100)
      }
      acme.opening = "succeed"
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* statusOf("acme")).state, "live")
    }).pipe(Effect.provide(plane.layer), withRandom(0.5))
  })

  it.effect("G13 prepares again whatever interrupts the connector's statements", () => {
    const plane = make({ seedDefaults: true })
    const acme = plane.tenant("acme")
    acme.clients = "interrupt"
    return Effect.gen(function* () {
      const error = yield* Effect.flip(TenantManager.use((manager) => manager.activate("acme")))
      assert.strictEqual(error.reason._tag, "BootstrapFailure")
      acme.clients = "yes"
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* statusOf("acme")).state, "live")
    }).pipe(Effect.provide(plane.layer), withRandom(0.5))
  })

  it.effect("G13 replaces a session that dies while it is released", () => {
    const logged = capture()
    const plane = make({}, undefined, logged.layer)
    const acme = plane.tenant("acme")
    acme.releasing = "die"
    return Effect.gen(function* () {
      yield* TenantManager.use((manager) => manager.activate("acme"))
      acme.lose()
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* statusOf("acme")).state, "live")
      assert.deepStrictEqual([acme.attempts.length, acme.open], [2, 1])
      // The feed went on: it was not followed anew after a defect.
      assert.notInclude(logged.lines, "Following a tenant failed unexpectedly")
      acme.releasing = "yes"
    }).pipe(Effect.provide(plane.layer), withRandom(0.5))
  })

  it.effect("G13 gives up a session that never finishes opening, and tries again", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    acme.opening = "hang"
    return Effect.gen(function* () {
      const error = yield* Effect.forkScoped(Effect.flip(TenantManager.use((manager) => manager.activate("acme"))), {
        startImmediately: true
      })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* Fiber.join(error)).reason._tag, "ConnectFailure")
      acme.opening = "succeed"
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* statusOf("acme")).state, "live")
    }).pipe(Effect.provide(plane.layer), withRandom(0.5))
  })

  it.effect("G11 starts over after a session that outlived its pause, not once one was merely opened", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    acme.answering = "no"
    return Effect.gen(function* () {
      yield* activate("acme")
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(delays(acme.attempts), [250, 500, 1000, 2000])
      acme.answering = "yes"
      // Live 3.75 seconds later, after a pause of at most 8 seconds, and then for as long as that.
      yield* TestClock.adjust("12 seconds")
      assert.strictEqual((yield* statusOf("acme")).state, "live")
      acme.opening = "fail"
      const before = acme.attempts.length
      const lostAt = yield* Clock.currentTimeMillis
      acme.lose()
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(delays([lostAt, ...acme.attempts.slice(before)]), [250, 500, 1000])
    }).pipe(Effect.provide(plane.layer), withRandom(0.5))
  })

  it.effect("G11 a server that answers one read and hangs up, for ever, is met ever more seldom", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    return Effect.gen(function* () {
      yield* TenantManager.use((manager) => manager.activate("acme"))
      for (let i = 0; i < 9; i++) {
        const before = acme.reads
        acme.lose()
        while (acme.reads === before) yield* TestClock.adjust("125 millis")
        yield* breathe
      }
      assert.deepStrictEqual(delays(acme.attempts), [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
      assert.deepInclude(yield* statusOf("acme"), { state: "live", failures: 0 })
    }).pipe(Effect.provide(plane.layer), withRandom(0.5))
  })

  it.effect(
    "G1 reconciles after every connection: what changed during the outage is there without a second write",
    () => {
      const plane = make()
      const acme = plane.tenant("acme")
      return Effect.gen(function* () {
        yield* TenantManager.use((manager) => manager.activate("acme"))
        for (const value of [1, 2, 3]) {
          acme.lose()
          acme.write(limitKey, value)
          yield* TestClock.adjust("1 second")
          assert.deepInclude(yield* limit, { value, stale: false })
        }
      }).pipe(Effect.provide(plane.layer), withRandom(0.5))
    }
  )

  it.effect(
    "G4 answers from the snapshot, marked stale, until the third failed attempt, then from the database",
    () => {
      const plane = make()
      const acme = plane.tenant("acme")
      return Effect.gen(function* () {
        acme.write(limitKey, 1)
        yield* TenantManager.use((manager) => manager.activate("acme"))
        acme.opening = "fail"
        acme.lose()
        acme.write(limitKey, 2)
        yield* breathe
        for (const failures of [0, 1, 2]) {
          assert.deepInclude(yield* statusOf("acme"), { state: "disconnected", failures })
          assert.deepInclude(yield* limit, { value: 1, stale: true })
          yield* TestClock.adjust(250 * 2 ** failures)
        }
        assert.strictEqual(acme.statements, 0)
        assert.deepInclude(yield* statusOf("acme"), { state: "stale", failures: 3 })
        assert.deepInclude(yield* limit, { value: 2, stale: false })
        // The key, and everything, since the key had changed (G9); then the key alone.
        assert.strictEqual(acme.statements, 2)
        yield* limit
        assert.strictEqual(acme.statements, 3)

        acme.opening = "succeed"
        yield* TestClock.adjust("2 seconds")
        assert.deepInclude(yield* statusOf("acme"), { state: "live", failures: 0, lastError: undefined })
        yield* limit
        assert.strictEqual(acme.statements, 3)
      }).pipe(Effect.provide(plane.layer), withRandom(0.5))
    }
  )

  it.effect("tells what the last attempt failed with, not an earlier one", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    acme.answering = "no"
    return Effect.gen(function* () {
      yield* activate("acme")
      yield* promptly("the read has failed", () => acme.reads === 1)
      yield* breathe
      const reason = Effect.map(statusOf("acme"), ({ lastError }) => lastError?.reason._tag)
      assert.strictEqual(yield* reason, "LoadFailure")
      acme.opening = "fail"
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* reason, "ConnectFailure")
    }).pipe(Effect.provide(plane.layer), withRandom(0.5))
  })

  it.effect("an activation fails with the first error while the plane keeps trying", () => {
    const plane = make()
    const acme = plane.tenant("acme")
    acme.opening = "fail"
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      const error = yield* Effect.flip(manager.activate("acme"))
      assert.strictEqual(error.reason._tag, "ConnectFailure")
      const live = yield* Effect.forkScoped(manager.awaitLive("acme"), { startImmediately: true })
      acme.opening = "succeed"
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(live)
    }).pipe(Effect.provide(plane.layer), withRandom(0.5))
  })
})

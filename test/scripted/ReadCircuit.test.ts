import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { breathe, limitKey, onPlane, type ScriptedPlane } from "./ScriptedPlane.ts"
import { withShakyClock } from "./ShakyClock.ts"

const limit = (tenant = "acme") => Config.get(Limit).pipe(withTenant(tenant))
const call = (what: "activate" | "suspend", tenant = "acme") => TenantManager.use((manager) => manager[what](tenant))

/** What a read fails with. */
const failure = Effect.map(Effect.flip(limit()), ({ reason }) => {
  if (reason._tag !== "Unavailable") throw new Error(reason._tag)
  return { reason, retryIn: reason.retryAfter && Duration.toMillis(reason.retryAfter) }
})

/** A plane whose tenant is suspended, so that every read goes to its database, which knows 7. */
const suspended = Effect.fnUntraced(function* (plane: ScriptedPlane, tenant = "acme") {
  yield* TestClock.adjust("1 second")
  plane.tenant(tenant).write(limitKey, 7)
  yield* call("activate", tenant)
  yield* call("suspend", tenant)
})

describe("reads of a database that does not answer", () => {
  it.effect(
    "G4: after three unanswered reads, reads fail at once, with the last known entry and the time to the next try",
    () =>
      onPlane({ random: 0.5 }, function* (plane) {
        const { acme } = plane
        yield* suspended(plane)
        acme.clients = "no"
        for (let i = 0; i < 3; i++) assert.isUndefined((yield* failure).retryIn)
        assert.strictEqual(acme.statements, 3)
        yield* TestClock.adjust("100 millis")
        for (let i = 0; i < 100; i++) {
          const { reason, retryIn } = yield* failure
          assert.strictEqual(retryIn, 400)
          assert.deepInclude(reason.lastKnown, { value: 7, stale: true })
          assert.include(reason.message, "the next is sent in 400 ms")
        }
        assert.strictEqual(acme.statements, 3)

        // Tried again after 500 ms, 1 s, 2 s, 4 s, 8 s, and then every 10 s.
        const tries: Array<number> = []
        for (let millis = 100; millis < 40_000; millis += 100) {
          const before = acme.statements
          yield* failure
          if (acme.statements > before) tries.push(millis)
          yield* TestClock.adjust("100 millis")
        }
        assert.deepStrictEqual(tries, [500, 1500, 3500, 7500, 15_500, 25_500, 35_500])

        acme.clients = "yes"
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* limit(), 7)
        assert.strictEqual(yield* limit(), 7)
      })
  )

  it.effect("while one read tries, the others fail at once; its success lets all of them through", () =>
    onPlane({ random: 0.5 }, function* (plane) {
      const { acme } = plane
      yield* suspended(plane)
      acme.clients = "no"
      for (let i = 0; i < 3; i++) yield* failure
      yield* TestClock.adjust("500 millis")
      acme.clients = "yes"
      acme.clientGate.closeUnsafe()
      const before = acme.statements
      const probe = yield* Effect.forkScoped(limit(), { startImmediately: true })
      yield* breathe
      const snapshot = yield* Effect.flip(Config.snapshot.pipe(withTenant("acme")))
      assert.include(snapshot.message, "a probe is under way")
      assert.strictEqual(acme.statements, before + 1)
      acme.clientGate.openUnsafe()
      assert.strictEqual(yield* Fiber.join(probe), 7)
      assert.strictEqual((yield* Config.snapshot.pipe(withTenant("acme"))).get(Limit), 7)
    })
  )

  it.effect("G5: the open read circuit of one tenant does not concern another", () =>
    onPlane(function* (plane) {
      const { acme } = plane
      yield* suspended(plane)
      yield* suspended(plane, "globex")
      acme.clients = "no"
      for (let i = 0; i < 4; i++) yield* failure
      assert.strictEqual(yield* limit("globex"), 7)
    })
  )

  it.effect("a wall clock that is set back keeps no circuit open", () =>
    withShakyClock((clock) =>
      onPlane({ random: 0.5 }, function* (plane) {
        const { acme } = plane
        yield* TestClock.adjust("1 hour")
        yield* suspended(plane)
        acme.clients = "no"
        for (let i = 0; i < 4; i++) yield* failure
        acme.clients = "yes"
        clock.step(-1_800_000)
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(yield* limit(), 7)
      })
    )
  )

  it.effect("reads that hang open the circuit too: after that no caller waits five seconds to fail", () =>
    onPlane({ random: 0.5 }, function* (plane) {
      const { acme } = plane
      yield* suspended(plane)
      acme.clients = "never"
      for (let i = 0; i < 3; i++) {
        const hanging = yield* Effect.forkScoped(failure, { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        assert.isUndefined((yield* Fiber.join(hanging)).retryIn)
      }
      assert.isDefined((yield* failure).retryIn)
    })
  )
})

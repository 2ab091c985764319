import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { TestClock } from "effect/testing"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import { breathe, onPlane } from "./ScriptedPlane.ts"
import { withShakyClock } from "./ShakyClock.ts"

const names = (count: number, prefix = "tenant") => Array.from({ length: count }, (_, i) => `${prefix}-${i}`)

const activateAll = (tenants: ReadonlyArray<string>) =>
  TenantManager.use((manager) =>
    Effect.forEach(tenants, (tenant) =>
      Effect.forkScoped(Effect.exit(manager.activate(tenant)), { startImmediately: true })
    )
  )

const statesOf = Effect.map(
  TenantManager.use((manager) => manager.statuses),
  (statuses) => new Map<string, string>(statuses.map(({ state, tenant }) => [tenant, state]))
)

const countLive = Effect.map(statesOf, (states) => [...states.values()].filter((state) => state === "live").length)

/** The most attempts in any one second. */
const mostInASecond = (attempts: ReadonlyArray<number>) => {
  const sorted = attempts.toSorted((a, b) => a - b)
  return Math.max(...sorted.map((from) => sorted.filter((at) => at >= from && at < from + 1000).length))
}

describe("many tenants", () => {
  it.effect("G11: 60 tenants make no more attempts in any second than maxConnectsPerSecond, and all become live", () =>
    onPlane({ maxConnectsPerSecond: 30 }, function* ({ tenant }) {
      const tenants = names(60)
      const attempts = () => tenants.flatMap((name) => tenant(name).attempts)
      yield* activateAll(tenants)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* countLive, 60)
      assert.isAtMost(mostInASecond(attempts()), 30)

      // Again after a restart of the server: all are lost at once.
      for (const name of tenants) tenant(name).lose()
      yield* breathe
      assert.strictEqual(yield* countLive, 0)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* countLive, 60)
      assert.strictEqual(attempts().length, 120)
      assert.isAtMost(mostInASecond(attempts()), 30)
    })
  )

  it.effect("G11: sessions and the clients of reads share one connect rate, even if the wall clock is set back", () =>
    withShakyClock((clock) =>
      onPlane({ maxConnectsPerSecond: 30 }, function* ({ tenant }) {
        const followed = names(30, "followed")
        const read = names(30, "read")
        const attempts = () => [
          ...followed.flatMap((name) => tenant(name).attempts),
          ...read.flatMap((name) => tenant(name).clientAttempts)
        ]
        yield* TestClock.adjust("1 hour")
        clock.step(-1_800_000)
        yield* activateAll(followed)
        yield* Effect.forEach(read, (tenant) =>
          Effect.forkScoped(Config.get(Limit).pipe(withTenant(tenant)), { startImmediately: true })
        )
        yield* breathe
        clock.step(-900_000)
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(yield* countLive, 30)
        assert.strictEqual(attempts().length, 60)
        const afterTheStep = attempts().filter((at) => at < 1_000_000)
        assert.isAbove(afterTheStep.length, 50)
        assert.isAtMost(mostInASecond(afterTheStep), 30)
      })
    )
  )

  it.effect("G11: 50 tenants are live again within two seconds of a server that was away for long", () =>
    onPlane(function* ({ tenant }) {
      const tenants = names(50)
      yield* activateAll(tenants)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* countLive, 50)
      for (const name of tenants) {
        tenant(name).opening = "fail"
        tenant(name).lose()
      }
      yield* TestClock.adjust("30 seconds")
      for (const name of tenants) tenant(name).opening = "succeed"
      // By then the pauses are up to 30 seconds long, but among that many a tenant tries soon, and wakes the others.
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* countLive, 50)
    }).pipe(Random.withSeed("herd"))
  )

  it.effect("G11: tenants that come and go do not hurry one whose server is dead", () =>
    onPlane({ random: 0.5 }, function* ({ tenant }) {
      const dead = tenant("dead")
      const flapping = tenant("flapping")
      dead.opening = "fail"
      yield* activateAll(["dead", "flapping"])
      yield* TestClock.adjust("5 minutes")
      const before = dead.attempts.length
      // An outage of the one every three seconds; in each it fails before it gets through.
      for (let i = 0; i < 100; i++) {
        flapping.opening = "fail"
        flapping.lose()
        yield* TestClock.adjust("500 millis")
        flapping.opening = "succeed"
        yield* TestClock.adjust("2500 millis")
      }
      // Alone it would make 20 attempts in five minutes, 15 seconds apart.
      assert.isAbove(dead.attempts.length - before, 20)
      assert.isAtMost(dead.attempts.length - before, 40)
    })
  )

  for (const [what, hang, options] of [
    ["their sessions hang", { opening: "hang" }, {}],
    ["preparing them hangs", { clients: "never" }, { seedDefaults: true }]
  ] as const) {
    it.effect(`G11: the first attempts of 100 dead tenants hold up no healthy one: ${what}`, () =>
      onPlane({ ...options }, function* ({ tenant }) {
        const dead = names(100, "dead")
        for (const name of dead) Object.assign(tenant(name), hang)
        yield* activateAll([...dead, "healthy"])
        // 100 turns of 250 ms, 8 at once.
        yield* TestClock.adjust("3250 millis")
        assert.strictEqual((yield* statesOf).get("healthy"), "live")

        // Those that are known to hang wait behind each other, and a new tenant behind none of them.
        yield* TestClock.adjust("1 minute")
        yield* activateAll(["late"])
        yield* breathe
        assert.strictEqual((yield* statesOf).get("late"), "live")
      })
    )
  }

  it.effect("one log line for each change of state and for each cause, and none for an attempt", () =>
    onPlane(function* ({ acme, lines }) {
      yield* activateAll(["acme"])
      yield* breathe
      acme.opening = "fail"
      acme.lose()
      yield* TestClock.adjust("10 minutes")
      assert.isAbove(acme.attempts.length, 20)
      for (const opening of ["die", "fail", "die", "fail"] as const) {
        acme.opening = opening
        yield* TestClock.adjust("2 minutes")
      }
      acme.opening = "succeed"
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(lines, [
        "Tenant is activating",
        "Tenant is live",
        "Tenant is disconnected",
        "Tenant is disconnected, now for another cause",
        "Tenant is stale",
        "Tenant is stale, now for another cause",
        "Tenant is live"
      ])
    })
  )
})

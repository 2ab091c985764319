/** What the application's loggers, tracer and schedule throw ends nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, References, Schedule, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { Config, Connector, SystemplaneReadThrough, type TenantId, TenantManager, withTenant } from "effect-systemplane"
import { Limit } from "../support/keys.ts"
import * as ScriptedConnector from "../support/ScriptedConnector.ts"
import { activate, breathe, capture, limitKey, make, onPlane, statusOf, withRandom } from "./ScriptedPlane.ts"

const fault = () => {
  throw new Error("a fault of the application")
}

const throwingLogger = (isBroken: () => boolean) =>
  Layer.merge(
    Logger.layer([Logger.make(() => (isBroken() ? fault() : undefined))]),
    Layer.succeed(References.MinimumLogLevel, "All")
  )

const throwingTracer = (what: "span" | "end" | "attribute") =>
  Layer.succeed(
    Tracer.Tracer,
    Tracer.make({
      span: (options) => {
        if (what === "span") return fault()
        const span = new Tracer.NativeSpan(options)
        span[what] = fault
        return span
      }
    })
  )

describe("code of the application that throws", () => {
  for (const [what, layer, breaks] of [
    ["a logger that always throws", (_: () => boolean) => throwingLogger(() => true), false],
    ["a logger that throws while a feed is lost", throwingLogger, true],
    ["a tracer that opens no span", () => throwingTracer("span"), false],
    ["a tracer whose spans cannot end", () => throwingTracer("end"), false],
    ["a tracer whose spans take no attribute", () => throwingTracer("attribute"), false]
  ] as const) {
    it.effect(`G13: ${what} ends no tenant's feed`, () =>
      Effect.suspend(() => {
        let broken = !breaks
        const plane = make(
          {},
          layer(() => broken)
        )
        const { acme } = plane
        return Effect.gen(function* () {
          yield* activate()
          broken = true
          for (const value of [7, 8]) {
            acme.opening = "fail"
            acme.lose()
            acme.write(limitKey, value)
            yield* TestClock.adjust("1 minute")
            acme.opening = "succeed"
            yield* TestClock.adjust("1 minute")
            assert.deepInclude(yield* statusOf(), { state: "live", failures: 0 })
            assert.strictEqual(yield* Config.get(Limit).pipe(withTenant("acme")), value)
          }
        }).pipe(Effect.provide(plane.layer), withRandom(0.5))
      })
    )
  }

  for (const [what, reconnect] of [
    ["that ends", Schedule.recurs(2)],
    ["whose step throws", Schedule.fromStep(Effect.succeed(fault))],
    ["that cannot be started", Schedule.fromStep(Effect.sync(fault))],
    ["that dies", Schedule.fromStep(Effect.succeed(() => Effect.die("a fault")))]
  ] as const) {
    it.effect(`G13: a schedule ${what} does not end the attempts to reach a tenant`, () =>
      onPlane({ reconnect: reconnect as any, random: 0.5 }, function* ({ acme }) {
        acme.opening = "fail"
        yield* Effect.flip(activate())
        yield* TestClock.adjust("5 minutes")
        assert.isAtLeast(acme.attempts.length, 15)
        assert.isAtMost(acme.attempts.length, 40)
        acme.opening = "succeed"
        yield* TestClock.adjust("1 minute")
        assert.deepInclude(yield* statusOf(), { state: "live" })
      })
    )
  }
})

describe("many tenants in the log and in health", () => {
  it.effect("a drain logs one line that counts the tenants", () =>
    Effect.suspend(() => {
      const { layer, lines } = capture()
      const plane = make({}, layer)
      return Effect.gen(function* () {
        const manager = yield* TenantManager
        yield* Effect.forEach(
          Array.from({ length: 10 }, (_, i) => `tenant-${i}`),
          manager.activate,
          { discard: true }
        )
        lines.length = 0
        yield* manager.drain()
        assert.deepStrictEqual(lines, ["The plane of this process is drained, and follows no tenant any more"])
      }).pipe(Effect.provide(plane.layer))
    })
  )

  it.effect("G11: without a cache, too, a tenant that exists is read before those that were asked for earlier", () => {
    const connector = ScriptedConnector.make()
    const hanging = Layer.effect(
      Connector,
      Effect.map(Connector, (given) => ({
        ...given,
        client: (tenant: TenantId) => (tenant.startsWith("invented") ? Effect.never : given.client(tenant))
      }))
    ).pipe(Layer.provide(connector.layer))
    const plane = SystemplaneReadThrough({ keys: [Limit] }).pipe(Layer.provide(hanging))
    const read = (tenant: string) => Config.get(Limit).pipe(withTenant(tenant))
    return Effect.gen(function* () {
      for (let i = 0; i < 100; i++) {
        yield* Effect.forkScoped(Effect.exit(read(`invented-${i}`)))
      }
      yield* breathe
      const later = yield* Effect.forkScoped(read("later"))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(later), 600)
    }).pipe(Effect.provide(plane))
  })

  it.effect("a boot that fails logs one line that counts the tenants", () =>
    Effect.suspend(() => {
      const { layer, lines } = capture()
      const tenants = Array.from({ length: 10 }, (_, i) => `tenant-${i}`)
      const plane = make({ tenants, boot: "require", bootTimeout: "1 second" }, layer)
      plane.tenant("tenant-9").opening = "fail"
      return Effect.gen(function* () {
        const building = yield* Effect.forkChild(Effect.exit(Effect.scoped(Layer.build(plane.layer))), {
          startImmediately: true
        })
        yield* TestClock.adjust("2 seconds")
        assert.isTrue(Exit.isFailure(yield* Fiber.join(building)))
        assert.deepStrictEqual(
          lines.filter((line) => !/^Tenant is (activating|live)/.test(line)),
          ["The plane of this process is drained, and follows no tenant any more"]
        )
      })
    })
  )

  it.effect(
    "G11: a thousand invented tenants have at most 100 statuses, and no say in health; one that exists is read before them",
    () =>
      onPlane({ activation: "onDemand" }, function* (plane) {
        yield* activate()
        for (let i = 0; i < 1000; i++) {
          const invented = plane.tenant(`invented-${i}`)
          invented.opening = "fail"
          invented.clients = "no"
          yield* Effect.forkScoped(Effect.exit(Config.get(Limit)).pipe(withTenant(`invented-${i}`)))
        }
        yield* breathe
        const manager = yield* TenantManager
        assert.isAtMost((yield* manager.statuses).length, 101)
        assert.deepInclude(yield* manager.health, { status: "live", counts: { live: 1, degraded: 0, down: 0 } })
        // One that exists and comes later waits behind none of them: the newest is next.
        const later = yield* Effect.forkScoped(Config.get(Limit).pipe(withTenant("later")))
        for (let half = 0; half < 8; half++) {
          yield* TestClock.adjust("500 millis")
          assert.deepInclude((yield* manager.health).counts, { degraded: 0, down: 0 })
        }
        assert.strictEqual(yield* Fiber.join(later), 600)
        yield* TestClock.adjust("10 minutes")
        assert.isAtMost((yield* manager.statuses).length, 2)
      })
  )
})

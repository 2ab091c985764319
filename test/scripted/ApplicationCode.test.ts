/** What code of the application throws, in the plane's context or in a caller's, ends nothing. */
import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  Effect,
  Equal,
  Exit,
  Fiber,
  Hash,
  Layer,
  Logger,
  Metric,
  Random,
  References,
  Schedule,
  Schema,
  SchemaTransformation,
  Stream,
  Tracer
} from "effect"
import { TestClock } from "effect/testing"
import {
  Config,
  ConfigKey,
  Connector,
  SystemplaneReadThrough,
  type TenantId,
  TenantManager,
  withTenant
} from "effect-systemplane"
import { Greeting, Limit } from "../support/keys.ts"
import * as ScriptedConnector from "../support/ScriptedConnector.ts"
import { activate, breathe, capture, change, limitKey, make, onPlane, statusOf, withRandom } from "./ScriptedPlane.ts"

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

/** Throws two times out of three. */
const moody = <A>(run: () => A): (() => A) => {
  let calls = 0
  return () => (calls++ % 3 === 0 ? run() : fault())
}

const clockOf = (millisOf: (millis: () => number) => () => number, nanosOf: (nanos: () => bigint) => () => bigint) =>
  Layer.effect(
    Clock.Clock,
    Effect.map(Clock.Clock, (clock): Clock.Clock => {
      const millis = millisOf(() => clock.currentTimeMillisUnsafe())
      const nanos = nanosOf(() => clock.currentTimeNanosUnsafe())
      const monotonic = nanosOf(() => clock.monotonicTimeNanosUnsafe())
      return {
        currentTimeMillisUnsafe: millis,
        currentTimeMillis: Effect.sync(millis),
        currentTimeNanosUnsafe: nanos,
        currentTimeNanos: Effect.sync(nanos),
        monotonicTimeNanosUnsafe: monotonic,
        monotonicTimeNanos: Effect.sync(monotonic),
        sleep: (duration) => clock.sleep(duration)
      }
    })
  )

const moodyClock = clockOf(moody, moody)

/** Says one of these two times out of three. */
const strange =
  <A>(...said: ReadonlyArray<unknown>) =>
  (run: () => A): (() => A) => {
    let calls = 0
    return () => (calls++ % 3 === 0 ? run() : (said[calls % said.length] as A))
  }

const strangeClock = clockOf(
  strange<number>(Number.NaN, Number.POSITIVE_INFINITY, undefined, 1e17, "noon", 5n),
  strange<bigint>(undefined, 5, Number.NaN)
)

const strangeRandom = {
  nextIntUnsafe: strange<number>(Number.NaN, 0.5)(() => 1),
  nextDoubleUnsafe: strange<number>(Number.NaN, -1e9, Number.POSITIVE_INFINITY, "half", 1e300)(() => 0.5)
}

const brokenRandom = { nextIntUnsafe: fault, nextDoubleUnsafe: fault }

const brokenFiberMetrics = Layer.succeed(Metric.FiberRuntimeMetrics, { recordFiberStart: fault, recordFiberEnd: fault })

const brokenClock: Clock.Clock = {
  currentTimeMillisUnsafe: fault,
  currentTimeMillis: Effect.sync(fault),
  currentTimeNanosUnsafe: fault,
  currentTimeNanos: Effect.sync(fault),
  monotonicTimeNanosUnsafe: fault,
  monotonicTimeNanos: Effect.sync(fault),
  sleep: fault
}

/** A tracer that runs each step of a fiber, as that of OpenTelemetry does. */
const steppingTracer = (throws: "before" | "after", isBroken: () => boolean) => {
  const evaluate = "~effect/Effect/evaluate"
  return Layer.succeed(
    Tracer.Tracer,
    Tracer.make({
      span: (options) => new Tracer.NativeSpan(options),
      context: (step, fiber) => {
        if (throws === "before" && isBroken()) fault()
        const result = step[evaluate](fiber)
        return throws === "after" && isBroken() ? fault() : result
      }
    })
  )
}

describe("code of the application that throws", () => {
  for (const [what, layer, breaks] of [
    ["a logger that always throws", (_: () => boolean) => throwingLogger(() => true), false],
    ["a logger that throws while a feed is lost", throwingLogger, true],
    ["a tracer that opens no span", () => throwingTracer("span"), false],
    ["a tracer whose spans cannot end", () => throwingTracer("end"), false],
    ["a tracer whose spans take no attribute", () => throwingTracer("attribute"), false],
    ["a tracer that throws before each step", (isBroken: () => boolean) => steppingTracer("before", isBroken), true],
    ["a tracer that throws after each step", (isBroken: () => boolean) => steppingTracer("after", isBroken), true],
    ["a clock that throws now and then", () => moodyClock, false],
    ["a clock that says no time now and then", () => strangeClock, false],
    ["a source of numbers that are out of range", () => Layer.succeed(Random.Random, strangeRandom), false],
    ["a source of random numbers that throws", () => Layer.succeed(Random.Random, brokenRandom), false],
    ["a count of fibers that throws", () => brokenFiberMetrics, false]
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
    ["that dies", Schedule.fromStep(Effect.succeed(() => Effect.die("a fault")))],
    ["that says no duration", Schedule.fromStep(Effect.succeed((() => Effect.succeed([0, "soon"])) as any))],
    ["that says that it is never time", Schedule.spaced("Infinity")],
    ["that never says when", Schedule.fromStep(Effect.succeed(() => Effect.never))],
    ["that never starts", Schedule.fromStep(Effect.uninterruptible(Effect.never))],
    ["that interrupts itself", Schedule.fromStep(Effect.succeed(() => Effect.interrupt))]
  ] as const) {
    it.effect(`G13: a schedule ${what} does not end the attempts to reach a tenant`, () =>
      onPlane({ reconnect: reconnect as any, random: 0.5 }, function* ({ acme }) {
        acme.opening = "fail"
        const failed = yield* Effect.forkChild(Effect.flip(activate()))
        yield* TestClock.adjust("5 minutes")
        yield* Fiber.join(failed)
        assert.isAtLeast(acme.attempts.length, 15)
        assert.isAtMost(acme.attempts.length, 40)
        acme.opening = "succeed"
        yield* TestClock.adjust("1 minute")
        assert.deepInclude(yield* statusOf(), { state: "live" })
      })
    )
  }
})

describe("code in the context of a caller's fiber that throws", () => {
  const contexts: Readonly<Record<string, Layer.Layer<never>>> = {
    "a logger": throwingLogger(() => true),
    "a tracer that opens no span": throwingTracer("span"),
    "a tracer whose spans cannot end": throwingTracer("end"),
    "a clock": Layer.succeed(Clock.Clock, brokenClock),
    "random numbers": Layer.succeed(Random.Random, brokenRandom),
    "a count of fibers": brokenFiberMetrics
  }

  for (const [what, context] of Object.entries(contexts)) {
    it.effect(`G13: ${what}: calls do what they should, and nothing of what callers share ends`, () =>
      onPlane({ tenant: "acme", random: 0.5 }, function* ({ acme, lines }) {
        const manager = yield* TenantManager
        const inIt = Effect.provide(context)
        yield* manager.activate("acme").pipe(inIt)
        // A write that was committed is known as such, by its caller and by every reader.
        assert.strictEqual((yield* Config.set(Limit, 7, { actor: "ada" }).pipe(inIt)).value, 7)
        assert.strictEqual(yield* Config.get(Limit), 7)
        yield* manager.suspend("acme").pipe(inIt)
        // The read that others join is begun by this caller, and finds something to report.
        acme.write(limitKey, "not a number")
        acme.clientGate.closeUnsafe()
        const reads = yield* Effect.forEach(
          [Effect.suspend(() => Config.get(Limit).pipe(inIt)), Config.get(Limit)],
          (read) => Effect.forkChild(read, { startImmediately: true })
        )
        yield* breathe
        acme.clientGate.openUnsafe()
        for (const read of reads) assert.strictEqual(yield* Fiber.join(read), 7)
        assert.lengthOf(
          lines.filter((line) => line.startsWith("A stored value does not fit")),
          1
        )
        for (const call of [Config.entry(Limit), Config.list(Limit.namespace), Config.snapshot, Config.handle(Limit)]) {
          yield* Effect.asVoid<unknown, unknown, Config>(call).pipe(inIt)
        }
        yield* manager.suspend("unknown").pipe(inIt)
        yield* manager.handle("not an event").pipe(inIt)
        yield* manager.activate("acme").pipe(inIt)
        yield* manager.rotateCredentials("acme").pipe(inIt)
        assert.deepInclude((yield* manager.health.pipe(inIt)).counts, { live: 1, degraded: 0, down: 0 })
        acme.write(limitKey, 8)
        yield* TestClock.adjust("1 minute")
        const { stale, value } = yield* Config.entry(Limit)
        assert.deepStrictEqual([value, stale], [8, false])
      })
    )
  }

  it.effect("G13: a clock of a caller that is elsewhere in time makes no value older or younger", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      const manager = yield* TenantManager
      yield* activate()
      yield* manager.suspend("acme")
      yield* TestClock.adjust("1 second")
      for (const nanos of [0n, 10n ** 18n]) {
        const elsewhere: Clock.Clock = {
          ...brokenClock,
          currentTimeMillisUnsafe: () => Number(nanos / 1_000_000n),
          monotonicTimeNanosUnsafe: () => nanos
        }
        const { confirmedAt, stale } = yield* Config.entry(Limit).pipe(Effect.provideService(Clock.Clock, elsewhere))
        assert.deepStrictEqual([confirmedAt?.epochMilliseconds, stale], [yield* Clock.currentTimeMillis, false])
      }
      yield* activate()
      acme.opening = "fail"
      acme.answering = "never"
      acme.lose()
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* statusOf(), { state: "stale" })
    })
  )

  it.effect("G8: a handler that interrupts its own fiber, or whose logger throws, is called for the next change", () =>
    onPlane({ tenant: "acme" }, function* ({ acme }) {
      yield* activate()
      const told: Array<number> = []
      const interrupting = (value: number) =>
        Effect.withFiber<void>((fiber) => {
          told.push(value)
          fiber.interruptUnsafe()
          return Effect.never
        })
      yield* Config.onChange(Limit, ({ value }) => interrupting(value))
      yield* Config.onChange(Limit, ({ value }) =>
        Effect.sync(() => told.push(value)).pipe(Effect.andThen(Effect.die("a fault")))
      ).pipe(Effect.provide(throwingLogger(() => true)))
      for (const value of [7, 8, 9]) yield* change(acme, value)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        told.filter((value) => value === 9),
        [9, 9]
      )
      assert.isAtLeast(told.length, 4)
    }).pipe(Effect.scoped)
  )

  it.effect("G8: values that throw when they are compared keep no subscriber and no watcher from the next one", () => {
    class Touchy implements Equal.Equal {
      readonly text: string
      constructor(text: string) {
        this.text = text
      }
      [Equal.symbol](): boolean {
        return fault()
      }
      [Hash.symbol](): number {
        return fault()
      }
    }
    const Text = ConfigKey.make("touchy", "text", {
      schema: Schema.String.pipe(
        Schema.decodeTo(
          Schema.instanceOf(Touchy),
          SchemaTransformation.transform({ decode: (text) => new Touchy(text), encode: ({ text }) => text })
        )
      ),
      defaultValue: new Touchy("none")
    })
    return onPlane({ tenant: "acme", keys: [Text, Limit, Greeting] }, function* ({ acme }) {
      yield* activate()
      const told: Array<string> = []
      yield* Config.onChange(Text, ({ value }) => Effect.sync(() => told.push(value.text)))
      yield* Config.onChange(Limit, ({ value }) => Effect.sync(() => told.push(String(value))))
      yield* Effect.forkScoped(
        Stream.runForEach(Config.watch(Text), ({ value }) => Effect.sync(() => told.push(`watched ${value.text}`)))
      )
      yield* breathe
      for (const text of ["a", "b"]) {
        acme.write("touchy/text", text)
        acme.write(limitKey, text.charCodeAt(0))
        acme.notify(ScriptedConnector.upsert("touchy", "text"))
        yield* TestClock.adjust("1 minute")
      }
      for (const text of ["a", "b", "97", "98", "watched a", "watched b"]) assert.include(told, text)
      assert.deepInclude(yield* statusOf(), { state: "live", failures: 0 })
    }).pipe(Effect.scoped)
  })
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

  for (const [what, ask] of [
    ["a read", Config.get(Limit)],
    ["a write", Effect.map(Config.set(Limit, 600, { actor: "ada" }), ({ value }) => value)]
  ] as const) {
    it.effect(`G11: ${what} of a tenant that exists comes before those of invented ones that came earlier`, () => {
      const connector = ScriptedConnector.make()
      const hanging = Layer.effect(
        Connector,
        Effect.map(Connector, (given) => ({
          ...given,
          client: (tenant: TenantId) => (tenant.startsWith("invented") ? Effect.never : given.client(tenant))
        }))
      ).pipe(Layer.provide(connector.layer))
      const plane = SystemplaneReadThrough({ keys: [Limit] }).pipe(Layer.provide(hanging))
      const asked = (tenant: string) => ask.pipe(withTenant(tenant))
      return Effect.gen(function* () {
        const invented = yield* Effect.forEach(
          Array.from({ length: 100 }, (_, i) => `invented-${i}`),
          (tenant) => Effect.forkScoped(Effect.flip(asked(tenant)))
        )
        yield* breathe
        const later = yield* Effect.forkScoped(asked("later"))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(later), 600)
        // Nothing was sent for any of the others, and their callers hear that.
        yield* TestClock.adjust("20 seconds")
        for (const fiber of invented) assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Unavailable")
      }).pipe(Effect.provide(plane))
    })
  }

  it.effect("a hundred tenants that fail at once have twenty lines, and one that counts the others", () =>
    onPlane({ random: 0.5 }, function* (plane) {
      const tenants = Array.from({ length: 100 }, (_, i) => `tenant-${i}`)
      for (const tenant of tenants) plane.tenant(tenant).opening = "fail"
      const manager = yield* TenantManager
      yield* Effect.forEach(tenants, (tenant) => Effect.forkScoped(Effect.exit(manager.activate(tenant))))
      yield* TestClock.adjust("9 seconds")
      const failures = () => plane.lines.filter((line) => line.includes("the first attempt failed"))
      assert.lengthOf(failures(), 20)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(
        plane.lines.filter((line) => line.startsWith("More tenants changed")),
        1
      )
      // A tenant that changes later has its line again.
      yield* TestClock.adjust("1 minute")
      const before = plane.lines.length
      yield* manager.suspend("tenant-7")
      assert.deepStrictEqual(plane.lines.slice(before), ["Tenant is suspended"])
    }).pipe(Effect.scoped)
  )

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

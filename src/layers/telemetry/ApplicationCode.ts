/**
 * Code of the application that runs in the engine's fibers because it is in their context: what it throws ends nothing
 * (G13).
 *
 * An exception of a logger, a tracer, a clock, a source of random numbers or what counts fibers is a defect of the
 * fiber that uses it. In a fiber of the engine that would end a tenant's feed for good. So the whole engine is built in
 * a context in which those of the application are wrapped (`layer`). Every call of a public service runs in that
 * context too (`entrance`): what a call starts is shared with other callers, or outlives its own, and their fibers may
 * have a context of their own.
 *
 * Other code of the application that the engine calls, and where what it throws is caught:
 *
 * | code | caught in |
 * |---|---|
 * | the connector and its resolver | `postgres/PgDeadlines` (any cause is a failed connect), `feed/ReconnectingFeed` (any cause is a lost session), `postgres/connection/PgConnector` (a resolver runs apart) |
 * | TLS options and their `checkServerIdentity` | `postgres/connection/PgTls` (the tenant's address cannot be used, or the server is refused) |
 * | codecs of keys, getters of values | `schema/KeyCodec`, `schema/SnapshotSlot` (the value is refused, or its row rejected) |
 * | handlers of changes | `config/ChangeHandlers` (each runs in a fiber of its own) |
 * | the schedule of reconnects | `feed/ReconnectSignal` (its end, exception, silence or endless pause goes on with the longest pauses of the default) |
 * | metric readers | they run in fibers of their own, and read what is registered |
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import * as SafeTracer from "./SafeTracer.ts"

const orElse = <A>(run: () => A, otherwise: () => A): A => {
  try {
    return run()
  } catch {
    return otherwise()
  }
}

// What a logger throws cannot be reported: reporting is what failed.
const safeLogger = (logger: Logger.Logger<unknown, any>): Logger.Logger<unknown, void> =>
  Logger.make((options) =>
    orElse(
      () => void logger.log(options),
      () => {}
    )
  )

/** The answer, if it is one that such a source may give; what is out of its range counts as thrown. */
const orThrow = <A>(answer: A, isUsual: (answer: A) => boolean): A => {
  if (isUsual(answer)) return answer
  throw new RangeError("out of range")
}

const isWhole = (int: unknown): boolean => Number.isSafeInteger(int)
const isFraction = (double: number): boolean => typeof double === "number" && double >= 0 && double <= 1

const safeRandom = (random: Random.Random): Random.Random => {
  const usual = Random.Random.defaultValue()
  return {
    nextIntUnsafe: () => orElse(() => orThrow(random.nextIntUnsafe(), isWhole), usual.nextIntUnsafe),
    nextDoubleUnsafe: () => orElse(() => orThrow(random.nextDoubleUnsafe(), isFraction), usual.nextDoubleUnsafe)
  }
}

const safeFiberMetrics = (metrics: Metric.FiberRuntimeMetricsService | undefined) =>
  metrics && {
    recordFiberStart: (context: Context.Context<never>) =>
      orElse(
        () => metrics.recordFiberStart(context),
        () => {}
      ),
    recordFiberEnd: (context: Context.Context<never>, exit: Exit.Exit<unknown, unknown>) =>
      orElse(
        () => metrics.recordFiberEnd(context, exit),
        () => {}
      )
  }

const nanosOf = (millis: number): bigint => BigInt(Math.round(millis * 1_000_000))

/** Milliseconds that a date can be made of, with room for adding a duration to them. */
const isTime = (millis: number): boolean => typeof millis === "number" && Math.abs(millis) <= 8e15
const isNanos = (nanos: bigint): boolean => typeof nanos === "bigint"

/** While the clock throws, or says no time, the time that passes is added to what it said last. */
const safeClock = (clock: Clock.Clock): Clock.Clock => {
  const usual = Clock.Clock.defaultValue()
  const safely = <A extends number | bigint>(
    look: () => A,
    initially: () => A,
    later: (last: A, millis: number) => A
  ) => {
    let last: { readonly time: A; readonly at: number } | undefined
    return () =>
      orElse(
        () => {
          const time = look()
          last = { time, at: performance.now() }
          return time
        },
        () => (last === undefined ? initially() : later(last.time, performance.now() - last.at))
      )
  }
  const laterNanos = (last: bigint, millis: number) => last + nanosOf(millis)
  const millis = safely(
    () => orThrow(clock.currentTimeMillisUnsafe(), isTime),
    () => usual.currentTimeMillisUnsafe(),
    (last, millis) => last + millis
  )
  const nanos = safely(
    () => orThrow(clock.currentTimeNanosUnsafe(), isNanos),
    () => usual.currentTimeNanosUnsafe(),
    laterNanos
  )
  const monotonic = safely(
    () => orThrow(clock.monotonicTimeNanosUnsafe(), isNanos),
    () => usual.monotonicTimeNanosUnsafe(),
    laterNanos
  )
  return {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: monotonic,
    monotonicTimeNanos: Effect.sync(monotonic),
    sleep: (duration: Duration.Duration) =>
      Effect.catchDefect(
        Effect.suspend(() => clock.sleep(duration)),
        () => usual.sleep(duration)
      )
  }
}

/**
 * Provides the loggers, the tracer, the clock, the random numbers and the count of fibers of the surrounding context,
 * made safe.
 */
export const layer = Layer.effectContext(
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.succeed(
      Context.make(
        Logger.CurrentLoggers,
        new Set([...Context.get(context, Logger.CurrentLoggers)].map(safeLogger))
      ).pipe(
        Context.add(Tracer.Tracer, SafeTracer.of(Context.get(context, Tracer.Tracer))),
        Context.add(Clock.Clock, safeClock(Context.get(context, Clock.Clock))),
        Context.add(Metric.FiberRuntimeMetrics, safeFiberMetrics(Context.get(context, Metric.FiberRuntimeMetrics))),
        Context.add(Random.Random, safeRandom(Context.get(context, Random.Random)))
      )
    )
  )
)

/**
 * Runs code of the application in a fiber of its own, and yields how it ended. A caller that is interrupted, or out of
 * time, interrupts that fiber and does not wait for it: code that cannot be interrupted, such as an `acquireRelease`
 * whose acquire hangs, would else hold up whatever ends the caller, and the close of the plane with it. So no scope
 * owns this fiber.
 */
export const apart = <A, E, R>(code: Effect.Effect<A, E, R>): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDetach(restore(code), { startImmediately: true }), (fiber) =>
      Effect.onInterrupt(restore(Fiber.await(fiber)), () => Effect.sync(() => fiber.interruptUnsafe()))
    )
  )

/** Runs what a caller asked for. */
export type Entrance = <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * How calls enter a plane. The call runs with the plane's clock, random numbers, loggers, scheduler and count of
 * fibers, and with the caller's tracer, made safe, so that the spans of a request stay together.
 */
export const entrance: Effect.Effect<Entrance> = Effect.contextWith((plane: Context.Context<never>) => {
  const own = Context.make(Logger.CurrentLoggers, Context.get(plane, Logger.CurrentLoggers)).pipe(
    Context.add(References.MinimumLogLevel, Context.get(plane, References.MinimumLogLevel)),
    Context.add(Clock.Clock, Context.get(plane, Clock.Clock)),
    Context.add(Metric.FiberRuntimeMetrics, Context.get(plane, Metric.FiberRuntimeMetrics)),
    Context.add(Random.Random, Context.get(plane, Random.Random)),
    Context.add(Scheduler.Scheduler, Context.get(plane, Scheduler.Scheduler))
  )
  const entered = new WeakMap<Context.Context<never>, Context.Context<never>>()
  const enter = (caller: Context.Context<never>): Context.Context<never> => {
    const known = entered.get(caller)
    if (known !== undefined) return known
    const tracer = SafeTracer.of(Context.get(caller, Tracer.Tracer))
    const context = Context.add(Context.merge(caller, own), Tracer.Tracer, tracer)
    entered.set(caller, context)
    // A call that makes another one is inside already.
    entered.set(context, context)
    return context
  }
  return Effect.succeed((call) => Effect.updateContext(call, enter as any))
})

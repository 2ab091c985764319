/**
 * Code of the application that throws now and then, wherever the engine calls it: a logger, a tracer and its spans, a
 * clock, random numbers, a metric reader. (The resolver that throws is with the plane, codecs are with the keys,
 * handlers with the subscribers.) None of it may end a feed.
 */
import { Clock, Effect, Layer, Logger, Metric, Random, Tracer } from "effect"

/** Throws once in this many calls, so that it depends on no random numbers of the engine's. */
export const every = (calls: number, what: string) => {
  let called = 0
  return (): void => {
    if (++called % calls === 0) throw new TypeError(`${what} threw`)
  }
}

const logger = (calls: number) => {
  const now = every(calls, "a logger")
  return Logger.make(() => now())
}

const throwingSpan = (span: Tracer.Span, now: () => void): Tracer.Span =>
  Object.assign(Object.create(span), {
    end: (...args: Parameters<Tracer.Span["end"]>) => {
      span.end(...args)
      now()
    },
    attribute: (...args: Parameters<Tracer.Span["attribute"]>) => {
      span.attribute(...args)
      now()
    }
  })

const tracer = () => {
  const [opening, later] = [every(7, "a tracer"), every(11, "a span")]
  return Tracer.make({
    span: (options) => {
      opening()
      return throwingSpan(new Tracer.NativeSpan(options), later)
    }
  })
}

/**
 * Its monotonic time and its pauses throw. (The checkers compare what planes say of the time of day, which a clock that
 * jumps tells already.)
 */
const clock = Effect.map(Clock.Clock, (clock): Clock.Clock => {
  const [looking, sleeping] = [every(17, "a clock"), every(19, "a pause")]
  return {
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
    currentTimeMillis: clock.currentTimeMillis,
    currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
    currentTimeNanos: clock.currentTimeNanos,
    monotonicTimeNanosUnsafe: () => {
      looking()
      return clock.monotonicTimeNanosUnsafe()
    },
    monotonicTimeNanos: Effect.suspend(() => {
      looking()
      return clock.monotonicTimeNanos
    }),
    sleep: (duration) => {
      sleeping()
      return clock.sleep(duration)
    }
  }
})

const random = Effect.map(Random.Random, (random: Random.Random): Random.Random => {
  const now = every(3, "random numbers")
  const throwing = (draw: () => number) => () => {
    now()
    return draw()
  }
  return {
    nextIntUnsafe: throwing(() => random.nextIntUnsafe()),
    nextDoubleUnsafe: throwing(() => random.nextDoubleUnsafe())
  }
})

/** For a plane alone: the workload's own fibers do not meet it. */
export const layer = (loggers: ReadonlyArray<Logger.Logger<unknown, unknown>>) =>
  Layer.mergeAll(
    Logger.layer([...loggers, logger(5), logger(1)]),
    Layer.succeed(Tracer.Tracer, tracer()),
    Layer.effect(Clock.Clock, clock),
    Layer.effect(Random.Random, random)
  )

/** Reads all metrics as an exporter does, and dies of it now and then. Goes on until interrupted. */
export const metricReader = Effect.suspend(() => {
  const now = every(3, "a metric reader")
  return Effect.forever(
    Effect.andThen(Effect.sleep("1 second"), Effect.exit(Effect.andThen(Metric.snapshot, Effect.sync(now))))
  )
})

/**
 * A tracer of the application whose exceptions end nothing. A span that cannot be opened is one that is not sampled;
 * what a span throws when it takes an attribute, or ends, is caught. Neither can be reported: reporting is what failed.
 *
 * A tracer may also run each step of a fiber, to set what belongs to the span (OpenTelemetry does). What it throws
 * around a step is caught, and what the step itself throws is not.
 */
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"

const wrapped = new WeakMap<Tracer.Tracer, Tracer.Tracer>()

/** The tracer, made safe once. */
export const of = (tracer: Tracer.Tracer): Tracer.Tracer => {
  const known = wrapped.get(tracer)
  if (known !== undefined) return known
  const safe = make(tracer)
  wrapped.set(tracer, safe)
  wrapped.set(safe, safe)
  return safe
}

const make = (tracer: Tracer.Tracer): Tracer.Tracer =>
  Tracer.make({
    span(options) {
      try {
        return safeSpan(tracer.span(options))
      } catch {
        return new Tracer.NativeSpan({ ...options, sampled: false })
      }
    },
    ...(tracer.context === undefined ? {} : { context: safeSteps(tracer.context.bind(tracer)) })
  })

/** The span itself, since exporters know it by its identity; only what the engine calls on it catches. */
const safeSpan = (given: Tracer.Span): Tracer.Span => {
  const span = Object.isExtensible(given) ? given : Object.create(given)
  for (const name of ["end", "attribute", "event", "addLinks"] as const) {
    const method: (...args: Array<any>) => void = given[name]
    Object.defineProperty(span, name, {
      configurable: true,
      writable: true,
      value: (...args: Array<any>) => {
        try {
          method.apply(given, args)
        } catch {}
      }
    })
  }
  return span
}

const evaluate = "~effect/Effect/evaluate"

const safeSteps =
  (run: NonNullable<Tracer.Tracer["context"]>): NonNullable<Tracer.Tracer["context"]> =>
  <X>(step: Tracer.EffectPrimitive<X>, fiber: Fiber.Fiber<any, any>): X => {
    let begun = false
    let done: { readonly result: X } | undefined
    try {
      return run(
        {
          [evaluate](fiber) {
            begun = true
            const result = step[evaluate](fiber)
            done = { result }
            return result
          }
        },
        fiber
      )
    } catch (thrown) {
      if (done !== undefined) return done.result
      if (begun) throw thrown
      return step[evaluate](fiber)
    }
  }

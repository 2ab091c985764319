/** How tests look at what happens over time: they collect it, and wait for a condition on it. */
import { Effect, Fiber, Metric, Stream } from "effect"
import { eventually } from "./TestDatabase.ts"

/** What the stream has emitted so far. It is subscribed when this returns, and runs until the scope closes. */
export const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.gen(function* () {
    const seen: Array<A> = []
    const run = Stream.runForEach(stream, (item) => Effect.sync(() => seen.push(item)))
    yield* Effect.forkScoped(run, { startImmediately: true })
    return seen as ReadonlyArray<A>
  })

/** Waits until a condition on something in memory holds. */
export const until = (what: string, condition: () => boolean) => eventually(what, Effect.sync(condition))

/**
 * Dies if the effect has not ended after 4 seconds. It detects hangs: what it is used for takes milliseconds, or 5
 * seconds and more. The effect goes on in a fiber of its own, since one that hangs in a finalizer could not be
 * interrupted either.
 */
export const soon = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Effect.timeoutOrElse(Fiber.join(fiber), {
      duration: "4 seconds",
      orElse: () => Effect.die(new Error(`it hangs: ${what}`))
    })
  )

/** What a counter of the plane has counted for a tenant. */
export const counted = (name: string, tenant: string) =>
  Effect.map(Metric.snapshot, (metrics) =>
    metrics
      .filter(({ attributes, id }) => id === `systemplane.manager.${name}` && attributes?.tenant_id === tenant)
      .reduce((sum, metric) => sum + (metric.type === "Counter" ? Number(metric.state.count) : 0), 0)
  )

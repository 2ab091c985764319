/**
 * The pauses between attempts to reach a tenant, and what cuts them short.
 *
 * ```
 *   failed ──▶ backOff: a pause is drawn from the schedule ──▶ pause ──▶ next attempt ──▶ succeeded: a new schedule
 *                                                               │
 *                 its end ─┬─ whichever comes first ────────────┘
 *    the tenant is hurried ┤
 * another tenant recovered ┘ (and a first pause has passed)
 * ```
 *
 * Many tenants share a server, and this process does not know which. When a tenant that had failed gets through, its
 * server is back: the tenants that sleep through a long pause are woken, each after a pause drawn anew from the
 * beginning of the schedule. So hundreds of tenants come back within a second of the first one, as fast as the limits
 * on connecting let them.
 *
 * Tenants of other servers are woken too. A tenant whose pause was cut short that way waits out its next one in full,
 * so a wake-up at most doubles its attempts. `hurry` is the wish of a caller and always counts.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Reconnect from "../../schema/ReconnectDelays.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { scheduleTimeout } from "../runtime/Timeouts.ts"
import * as ApplicationCode from "../telemetry/ApplicationCode.ts"

/** One tenant's attempts, as the fiber that makes them sees them. */
export interface Attempts {
  /** An attempt failed: draws the pause before the next one, in milliseconds. From now on `hurry` cuts it short. */
  readonly backOff: Effect.Effect<number>
  /** Waits out the pause that `backOff` drew, if there is one. */
  readonly pause: Effect.Effect<void>
  /** An attempt succeeded: the next failure begins the schedule anew. */
  readonly reset: Effect.Effect<void>
  /** The longest pause that was drawn since the schedule began, in milliseconds; 0 if none was. */
  readonly longestPause: () => number
}

export class ReconnectSignal extends Context.Service<
  ReconnectSignal,
  {
    /** The attempts of a tenant, which `hurry` finds as long as the scope is open. */
    readonly attempts: (tenant: TenantId) => Effect.Effect<Attempts, never, Scope.Scope>
    /**
     * Ends the pause of a tenant, so that its next attempt is made at once. An attempt that is under way is left alone.
     */
    readonly hurry: (tenant: TenantId) => void
    /** A tenant that had failed got through. */
    readonly recovered: Effect.Effect<void>
  }
>()("effect-systemplane/layers/ReconnectSignal") {}

const make = Effect.fnUntraced(function* (schedule: Schedule.Schedule<unknown>) {
  let recovery = Deferred.makeUnsafe<void>()
  /** The pauses that were drawn and have not ended, by tenant. */
  const pauses = new Map<TenantId, Set<Deferred.Deferred<void>>>()

  // The schedule may be the application's. One that is over, throws, never answers or never lets the next attempt begin
  // must not end a tenant's attempts.
  const afterTheSchedule = Random.nextBetween(0, Duration.toMillis(Duration.fromInputUnsafe(Reconnect.defaults.cap)))
  const answer = <A, E>(asked: Effect.Effect<A, E>) =>
    ApplicationCode.apart(asked).pipe(Effect.flatten, Effect.timeout(scheduleTimeout))
  const start: Effect.Effect<Effect.Effect<number>> = answer(Schedule.toStep(schedule)).pipe(
    Effect.map((step) =>
      MonotonicClock.millis.pipe(
        Effect.flatMap((now) => answer(Effect.suspend(() => step(Math.round(now), undefined)))),
        Effect.map(([, delay]) => Duration.toMillis(delay)),
        Effect.filterOrFail(Number.isFinite),
        Effect.catchCause(() => afterTheSchedule)
      )
    ),
    Effect.catchCause(() => Effect.succeed(afterTheSchedule))
  )
  const firstPause = Effect.flatMap(Effect.flatten(start), Effect.sleep)

  const attempts = Effect.fnUntraced(function* (tenant: TenantId) {
    /** Draws the next pause of the schedule as it stands; `undefined` until the first failure. */
    let next: Effect.Effect<number> | undefined
    let longest = 0
    /** What was drawn and is still to be waited for. */
    let drawn: { readonly millis: number; readonly hurried: Deferred.Deferred<void> } | undefined
    /** Whether the last pause ended early because another tenant recovered. */
    let wokenEarly = false

    const forget = () => {
      const known = pauses.get(tenant)
      if (drawn === undefined || known === undefined) return
      known.delete(drawn.hurried)
      if (known.size === 0) pauses.delete(tenant)
      drawn = undefined
    }
    yield* Effect.addFinalizer(() => Effect.sync(forget))

    const attempts: Attempts = {
      backOff: Effect.gen(function* () {
        next ??= yield* start
        const millis = yield* next
        longest = Math.max(longest, millis)
        forget()
        drawn = { millis, hurried: Deferred.makeUnsafe() }
        pauses.set(tenant, (pauses.get(tenant) ?? new Set()).add(drawn.hurried))
        return millis
      }),
      pause: Effect.suspend(() => {
        if (drawn === undefined) return Effect.void
        const { hurried, millis } = drawn
        const slept = Effect.as(Effect.raceFirst(Effect.sleep(millis), Deferred.await(hurried)), false)
        const woken = Effect.as(Effect.andThen(Deferred.await(recovery), firstPause), true)
        return (wokenEarly ? slept : Effect.raceFirst(slept, woken)).pipe(
          Effect.tap((early) =>
            Effect.sync(() => {
              wokenEarly = early
            })
          ),
          Effect.asVoid,
          Effect.ensuring(Effect.sync(forget))
        )
      }),
      reset: Effect.sync(() => {
        next = undefined
        longest = 0
      }),
      longestPause: () => longest
    }
    return attempts
  })

  return ReconnectSignal.of({
    attempts,
    hurry: (tenant) => {
      for (const hurried of pauses.get(tenant) ?? []) Deferred.doneUnsafe(hurried, Effect.void)
    },
    recovered: Effect.sync(() => {
      const waiting = recovery
      recovery = Deferred.makeUnsafe()
      Deferred.doneUnsafe(waiting, Effect.void)
    })
  })
})

export const layer = (options: { readonly reconnect: Schedule.Schedule<unknown> }) =>
  Layer.effect(ReconnectSignal, make(options.reconnect))

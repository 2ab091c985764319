/**
 * A circuit per tenant for the reads that go to its database: a server that does not answer is not asked by every read.
 *
 * ```
 *   closed ──▶ three reads in a row without an answer ──▶ open: reads fail at once, and say for how long
 *      ▲                                                    │ 500 ms, then twice as long each time, up to 10 s; jittered
 *      └── it was answered ◀── one read tries, the others still fail at once ◀──┘
 * ```
 *
 * Without it each read would wait for its 5 seconds, and hold one of the tenant's turns meanwhile. That the server
 * refused a statement is an answer.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Schedule from "effect/Schedule"
import { EntryStoreError, NotAsked } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as MissingTenants from "../runtime/MissingTenants.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import { circuitIdleTimeToLive, circuitPauses } from "../runtime/Timeouts.ts"

/**
 * One lost connection fails the reads that were on it, up to four with the default pool; three in a row are no
 * accident.
 */
const failuresInARow = 3

const openFor = Schedule.min([Schedule.exponential(circuitPauses.first), Schedule.spaced(circuitPauses.longest)]).pipe(
  Schedule.jittered
)

/** Tenants whose last read failed, and of which that is remembered. One that is forgotten is counted anew. */
const mostFailing = 10_000

export const make = Effect.gen(function* () {
  /** Tenants whose last read failed. Reads of all others pass by the breaker, which would remember each of them. */
  const failing = new Set<TenantId>()
  const breaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(failuresInARow),
    openDuration: openFor,
    onStoreError: "fail"
  })

  /** Runs a read, or what came of one, if the tenant's circuit allows it. */
  const throughBreaker = <A>(tenant: TenantId, read: Effect.Effect<A, EntryStoreError>) =>
    Effect.clockWith((clock) =>
      // The circuit measures by the clock it is given, and the read goes on by the one there was.
      breaker.execute(Effect.provideService(read, Clock.Clock, clock), { key: tenant, classify: outcomeOf }).pipe(
        MonotonicClock.measured,
        Effect.catchTag("CircuitBreakerError", ({ reason }) => {
          switch (reason._tag) {
            case "CircuitOpen":
              return notAsked(tenant, reason.retryAfter)
            case "CircuitHalfOpen":
              return notAsked(tenant)
            case "CircuitBreakerStoreError":
              // A store in memory does not fail.
              return Effect.die(reason)
          }
        })
      )
    )

  const note = (tenant: TenantId, isFailing: boolean) => {
    failing.delete(tenant)
    if (isFailing) failing.add(tenant)
    if (failing.size > mostFailing) failing.delete(failing.values().next().value!)
  }

  /** Runs a read of the tenant's database if its circuit allows it. */
  return <A>(tenant: TenantId, read: Effect.Effect<A, EntryStoreError>): Effect.Effect<A, EntryStoreError> =>
    Effect.suspend(() => {
      const noted = Effect.onExit(read, (exit) =>
        Effect.sync(() => {
          if (!Exit.hasInterrupts(exit)) note(tenant, isFailure(exit))
        })
      )
      if (failing.has(tenant)) return throughBreaker(tenant, noted)
      return Effect.flatMap(Effect.exit(noted), (exit) => (isFailure(exit) ? throughBreaker(tenant, exit) : exit))
    })
}).pipe(Effect.provide(CircuitBreaker.layerStoreMemory({ idleTimeToLive: circuitIdleTimeToLive })))

const outcomeOf = (exit: Exit.Exit<unknown, EntryStoreError>): CircuitBreaker.Outcome =>
  isFailure(exit) ? CircuitBreaker.failure() : CircuitBreaker.success

const isFailure = (exit: Exit.Exit<unknown, EntryStoreError>): boolean => {
  if (Exit.isSuccess(exit)) return false
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  return error === undefined || !isAnswer(error)
}

/**
 * That the server refused a statement is an answer, and so is that there is no such tenant, or no such database. A read
 * that had no turn says nothing of the database.
 */
const isAnswer = (error: EntryStoreError): boolean =>
  error.reason._tag === "Refused" || error.reason._tag === "Crowded" || MissingTenants.isMissing(error)

const notAsked = (tenant: TenantId, retryAfter?: Duration.Duration) =>
  Effect.fail(EntryStoreError.of(tenant, new NotAsked(retryAfter === undefined ? {} : { retryAfter })))

/**
 * What is due for each of many tenants now and then, done by one fiber for all of them. A fiber and a timer for each
 * would take more memory than the tenant's own state, and be set anew with every change.
 *
 * Each tenant has three deadlines, the first of which counts: a verification (`verifyAt` in FeedFollower), a read that
 * is not answered in time (`answerBy`), and a snapshot that gets too old (`overdueAt`). Freshness says when the first
 * and the last are due, Timeouts the second. The hourly purge of the history is in Retention.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as MonotonicClock from "./MonotonicClock.ts"

export interface Deadline {
  /** When it is due, by the monotonic clock; `Infinity` while it is not. It may change at any time. */
  readonly dueAt: () => number
  /** Does what is due: at once, since all others wait meanwhile. They go on whatever becomes of it. */
  readonly perform: Effect.Effect<void>
}

export interface TenantTimers {
  /** Looks after it as long as the scope. */
  readonly add: (deadline: Deadline) => Effect.Effect<void, never, Scope.Scope>
}

/** One turn looks at all deadlines: so it takes a hundredth of the time at most, however many there are. */
const millisPerDeadline = 0.1

/** `longestPause`: by how much a deadline may be late that became due earlier than it was, in milliseconds. */
export const make = Effect.fnUntraced(function* (longestPause: number) {
  const deadlines = new Set<Deadline>()

  const turn = Effect.gen(function* () {
    const now = yield* MonotonicClock.millis
    let next = now + longestPause
    for (const deadline of deadlines) {
      if (deadline.dueAt() <= now) yield* Effect.exit(deadline.perform)
      next = Math.min(next, deadline.dueAt())
    }
    yield* Effect.sleep(Math.max(next - now, deadlines.size * millisPerDeadline, 1))
  })

  // It goes on for ever, and belongs to no span in which the plane was built.
  yield* Effect.forever(turn).pipe(
    Effect.updateContext((context: Context.Context<never>) => Context.omit(Tracer.ParentSpan)(context)),
    Effect.forkScoped
  )

  const timers: TenantTimers = {
    add: (deadline) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          deadlines.add(deadline)
        }),
        () =>
          Effect.sync(() => {
            deadlines.delete(deadline)
          })
      )
  }
  return timers
})

/**
 * Turns that go to the newest of those that wait, for a crowd that cannot all be served in time.
 *
 * If more arrive than can be served, first come first served makes each wait until its caller is gone: every turn then
 * goes to work that is of no use. Newest first serves as many, each soon after it came, and refuses the oldest: those
 * that waited for `longestWait`, and those beyond `mostWaiting`.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as MonotonicClock from "./MonotonicClock.ts"
import type { Turns } from "./TenantLimiter.ts"

export interface NewestFirstOptions<E> {
  readonly permits: number
  readonly mostWaiting: number
  /** In milliseconds. */
  readonly longestWait: number
  /** What one that waited too long, or was displaced, is refused with. */
  readonly refusal: E
}

interface Waiting<E> {
  readonly since: number
  granted: boolean
  readonly turn: Deferred.Deferred<void, E>
}

export const make = <E>(options: NewestFirstOptions<E>): Turns<E> => {
  let free = options.permits
  /** In the order of arrival. */
  const waiting: Array<Waiting<E>> = []

  const refuseOldest = () => {
    const oldest = waiting.shift()
    if (oldest !== undefined) Deferred.doneUnsafe(oldest.turn, Effect.fail(options.refusal))
  }

  const wait = (since: number): Effect.Effect<void, E> =>
    Effect.suspend(() => {
      const one: Waiting<E> = { since, granted: false, turn: Deferred.makeUnsafe() }
      waiting.push(one)
      if (waiting.length > options.mostWaiting) refuseOldest()
      return Effect.onInterrupt(Deferred.await(one.turn), () =>
        Effect.suspend(() => {
          const index = waiting.indexOf(one)
          if (index >= 0) waiting.splice(index, 1)
          // Its turn had come, and it does not take it.
          return one.granted ? release : Effect.void
        })
      )
    })

  const release = Effect.map(MonotonicClock.millis, (now) => {
    while (waiting[0] !== undefined && now - waiting[0].since >= options.longestWait) refuseOldest()
    const newest = waiting.pop()
    if (newest === undefined) {
      free++
      return
    }
    newest.granted = true
    Deferred.doneUnsafe(newest.turn, Effect.void)
  })

  return {
    take: Effect.suspend((): Effect.Effect<void, E> => {
      if (free === 0) return Effect.flatMap(MonotonicClock.millis, wait)
      free--
      return Effect.void
    }),
    release
  }
}

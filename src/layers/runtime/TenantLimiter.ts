/**
 * Limits how many tenants connect at once, without letting unresponsive servers exhaust the permits.
 *
 * ```
 *   a tenant ──▶ a turn of at most `longest` ──▶ done
 *                      │ still not done: gives its turn back, goes on without one, and is slow from now on
 *   a slow tenant ──▶ a turn among the slow, for as long as it takes ──▶ done in time: slow no more
 * ```
 *
 * Whether a peer will answer cannot be known beforehand. So the first time costs a turn of a limited length, and only later
 * ones wait behind each other. What runs at once is bounded all the same, by how long an attempt may take: with 8 turns of
 * 250 ms, 32 attempts a second go on without a turn, and where each is given up after 5 seconds, that is 160.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"
import type { TenantId } from "../../schema/TenantId.ts"

export interface TenantLimiterOptions {
  /** How many have a turn at once; as many again among the slow. */
  readonly permits: number
  /** The longest turn, in milliseconds. */
  readonly longest: number
}

export interface TenantLimiter {
  /** Runs the effect in a turn of its tenant. `first` runs at the beginning of the turn, and does not count towards its length. */
  readonly take: <A, E, R>(
    tenant: TenantId,
    effect: Effect.Effect<A, E, R>,
    first?: Effect.Effect<void>
  ) => Effect.Effect<A, E, R>
  /** Forgets that the tenant was slow. */
  readonly forget: (tenant: TenantId) => void
}

export const make = (options: TenantLimiterOptions): TenantLimiter => {
  const turns = Semaphore.makeUnsafe(options.permits)
  const turnsOfSlow = Semaphore.makeUnsafe(options.permits)
  const slow = new Set<TenantId>()

  /** Runs `overstayed` where the effect takes longer than a turn, and goes on with it. */
  const timed = <A, E, R>(tenant: TenantId, effect: Effect.Effect<A, E, R>, overstayed: Effect.Effect<void>) =>
    Effect.suspend(() => {
      let inTime = true
      const watch = Effect.sync(() => {
        inTime = false
        slow.add(tenant)
      }).pipe(Effect.andThen(overstayed), Effect.andThen(Effect.never), Effect.delay(options.longest))
      return Effect.raceFirst(effect, watch).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            if (inTime && !Exit.hasInterrupts(exit)) slow.delete(tenant)
          })
        )
      )
    })

  const inTurn = <A, E, R>(tenant: TenantId, effect: Effect.Effect<A, E, R>, first: Effect.Effect<void>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(turns.take(1)), () => {
        let mine = true
        const giveBack = Effect.suspend(() => {
          if (!mine) return Effect.void
          mine = false
          return turns.release(1)
        })
        return restore(Effect.andThen(first, timed(tenant, effect, Effect.asVoid(giveBack)))).pipe(
          Effect.ensuring(giveBack)
        )
      })
    )

  return {
    take: (tenant, effect, first = Effect.void) =>
      Effect.suspend(() =>
        slow.has(tenant)
          ? turnsOfSlow.withPermit(Effect.andThen(first, timed(tenant, effect, Effect.void)))
          : inTurn(tenant, effect, first)
      ),
    forget: (tenant) => {
      slow.delete(tenant)
    }
  }
}

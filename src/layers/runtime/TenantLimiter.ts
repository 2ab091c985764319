/**
 * Limits how many tenants connect at once, without letting unresponsive servers exhaust the permits.
 *
 * ```
 *   a tenant ──▶ a turn of at most `longest` ──▶ done
 *                      │ still not done: gives its turn back, goes on without one, and is slow from now on
 *   a slow tenant ──▶ a turn among the slow, for as long as it takes ──▶ done in time: slow no more
 * ```
 *
 * Whether a peer will answer cannot be known beforehand. So the first time costs a turn of a limited length, and only
 * later ones wait behind each other. What runs at once is bounded all the same, by how long an attempt may take: with 8
 * turns of 250 ms, 32 attempts a second go on without a turn, and if each is abandoned after 5 seconds, that is 160.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"
import type { TenantId } from "../../schema/TenantId.ts"

/** What hands out turns. */
export interface Turns<out E = never> {
  /** Waits for a turn. */
  readonly take: Effect.Effect<void, E>
  readonly release: Effect.Effect<void>
}

export interface TenantLimiterOptions<out E = never> {
  /** How many have a turn at once; as many again among the slow. */
  readonly permits: number
  /** The longest turn, in milliseconds. */
  readonly longest: number
  /** Who is next; first come, first served if absent. */
  readonly turns?: Turns<E> | undefined
}

/** Slow tenants that are remembered; one that is forgotten has another turn. */
const mostSlow = 10_000

export interface TenantLimiter<out E0 = never> {
  /**
   * Runs the effect in a turn of its tenant. `first` runs at the beginning of the turn, and does not count towards its
   * length.
   */
  readonly take: <A, E, R>(
    tenant: TenantId,
    effect: Effect.Effect<A, E, R>,
    first?: Effect.Effect<void>
  ) => Effect.Effect<A, E | E0, R>
  /** Forgets that the tenant was slow. */
  readonly forget: (tenant: TenantId) => void
}

export const make = <E0 = never>(options: TenantLimiterOptions<E0>): TenantLimiter<E0> => {
  const turns: Turns<E0> = options.turns ?? inOrder(options.permits)
  const turnsOfSlow = Semaphore.makeUnsafe(options.permits)
  const slow = new Set<TenantId>()

  /** Runs `overstayed` if the effect takes longer than a turn, and goes on with it. */
  const timed = <A, E, R>(tenant: TenantId, effect: Effect.Effect<A, E, R>, overstayed: Effect.Effect<void>) =>
    Effect.suspend(() => {
      let inTime = true
      const watch = Effect.sync(() => {
        inTime = false
        slow.add(tenant)
        if (slow.size > mostSlow) slow.delete(slow.values().next().value!)
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
      Effect.flatMap(restore(turns.take), () => {
        let mine = true
        const giveBack = Effect.suspend(() => {
          if (!mine) return Effect.void
          mine = false
          return turns.release
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

const inOrder = (permits: number): Turns => {
  const semaphore = Semaphore.makeUnsafe(permits)
  return { take: Effect.asVoid(semaphore.take(1)), release: Effect.asVoid(semaphore.release(1)) }
}

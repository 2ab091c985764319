/**
 * Runs a handler on the changes of one subscription, `Config.onChange`.
 *
 * ```
 *   take ──▶ dispatch ──┬──▶ worker of acme   ──▶ handler, one change at a time
 *                       └──▶ worker of globex ──▶ handler
 * ```
 *
 * A tenant has one worker while it has changes to handle, so that a handler that hangs delays only its own tenant (G8).
 * While the worker is busy, the newest change of the tenant waits for it, and replaces the one that waited before. What
 * the handler fails or dies with is logged and stops nothing.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import type { Change } from "../../schema/Entry.ts"
import { show } from "../../schema/KeyName.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { CurrentTenant } from "../../services/CurrentTenant.ts"
import type { Entrance } from "../telemetry/ApplicationCode.ts"

/** Handles what `take` yields for as long as the scope lives. `enter` is how the engine's own steps run. */
export const run = Effect.fnUntraced(function* <A, E, R>(
  take: Effect.Effect<ReadonlyArray<Change<A>>>,
  handler: (change: Change<A>) => Effect.Effect<void, E, R>,
  enter: Entrance
) {
  const workers = yield* FiberSet.make()
  const waiting = new Map<TenantId, Change<A>>()
  const busy = new Set<TenantId>()

  // In a fiber of its own: a handler may interrupt the fiber that it runs in.
  const handle = (change: Change<A>) =>
    Effect.suspend(() => handler(change)).pipe(
      Effect.provideService(CurrentTenant, Option.some(change.tenant)),
      Effect.forkChild({ startImmediately: true }),
      Effect.flatMap(Fiber.await),
      Effect.flatMap((exit) =>
        Exit.isSuccess(exit)
          ? Effect.void
          : Effect.logError("A change handler failed", exit.cause).pipe(
              Effect.annotateLogs({ tenant: change.tenant, key: show(change) }),
              enter
            )
      )
    )

  // It marks itself idle in the step in which it finds nothing more to do, so that no change is left behind.
  const work = Effect.fnUntraced(function* (tenant: TenantId) {
    for (let change = waiting.get(tenant); change !== undefined; change = waiting.get(tenant)) {
      waiting.delete(tenant)
      yield* handle(change)
    }
    busy.delete(tenant)
  })

  const dispatch = (change: Change<A>) => {
    const skipped = waiting.get(change.tenant)
    waiting.set(change.tenant, skipped === undefined ? change : { ...change, previous: skipped.previous })
    if (busy.has(change.tenant)) return Effect.void
    busy.add(change.tenant)
    return FiberSet.run(workers, work(change.tenant))
  }

  yield* Effect.forkScoped(
    Effect.forever(Effect.flatMap(take, (changes) => Effect.forEach(changes, dispatch, { discard: true })))
  )
})

/**
 * What is wanted of each tenant, and the fiber that brings it about.
 *
 * ```
 *   intend ──▶ waiting ──▶ begun ──┬─ active:    prepared and followed, for ever (TenantActivation)
 *               until the scope    ├─ suspended: the replica answers no reads ──▶ settled
 *               of the intent      └─ absent:    everything is forgotten ──▶ settled, and removed from the map
 *
 *   any state ──▶ superseded:  a newer intent closes this one's scope, and begins once it is closed
 *   any state ──▶ interrupted: the manager closes; reads of the tenant go to the database
 * ```
 *
 * An active intent is settled only when it ends. One that only a read asked for is superseded by `absent` if the tenant
 * fails too often before it is live.
 *
 * Scopes own everything. The manager has one; each intent has a child of it, with the intent's fiber in it; below that
 * fiber are the feed, its session and its reader. A newer intent closes the scope of the one before, so intents may
 * come in any order and at any time, and the newest wins. Closing the manager's scope ends all tenants at once: it is
 * parallel, since in a sequential one a finalizer that hangs would keep the others from running.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { TenantId } from "../../schema/TenantId.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { TenantCache } from "../../services/TenantCache.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import * as MissingTenants from "../runtime/MissingTenants.ts"
import * as CountedLines from "../telemetry/CountedLines.ts"
import * as Redaction from "../telemetry/Redaction.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"
import * as TenantActivation from "./TenantActivation.ts"

export interface TenantSupervisorsOptions extends TenantActivation.TenantActivationOptions {
  readonly staleAfterFailures: number
}

/** What is wanted of a tenant. Each intent is an object of its own, so that a newer one can be told apart. */
export interface Intent extends TenantActivation.Activation {
  readonly want: "active" | "suspended" | "absent"
  /** Completed once nothing is left to do for it, or a newer intent superseded it. An active tenant's is never done. */
  readonly settled: Deferred.Deferred<void>
  /** Only a read asked for the tenant so far: the intent is dropped if the tenant does not become live. */
  demanded: boolean
  /** Everything of the intent before is released: from now on the tenant's status is about this intent. */
  begun: boolean
}

interface Supervisor {
  readonly intent: Intent
  /** Runs in the intent's scope. */
  readonly fiber: Fiber.Fiber<void>
}

export const make = Effect.fnUntraced(function* (options: TenantSupervisorsOptions) {
  const cache = yield* TenantCache
  const store = yield* EntryStore
  const board = yield* StatusBoard
  const limiter = yield* ConnectLimiter
  // A scope of its own and no child of the layer's, which would wait for it without a limit: `drain` closes it.
  const scope = Scope.makeUnsafe("parallel")
  // Supervisors run in the context of the plane, and belong neither to a span nor to the tenant of the caller who
  // states an intent.
  const fibers = yield* Scope.provide(FiberSet.make<void>(), scope)
  const run = yield* FiberSet.runtime(fibers)().pipe(
    Effect.updateContext((context: Context.Context<never>) => Context.omit(Tracer.ParentSpan)(context))
  )
  const activation = yield* TenantActivation.make(options)
  const supervisors = new Map<TenantId, Supervisor>()
  /** Intents that only a read asked for, until the tenant is live or the intent is over. */
  const demandedIntents = new Set<Intent>()

  const dropped = yield* CountedLines.make(0, ({ tenants }) =>
    Effect.annotateLogs(
      Effect.logInfo("Tenants that only reads asked for did not become live, and are not tried further"),
      { tenants }
    )
  )

  /**
   * Removes a tenant that only a read asked for if it fails too often before it is live, so that the next read may try
   * again.
   */
  const dropUnlessLive = (tenant: TenantId, intent: Intent): Effect.Effect<void> =>
    board
      .until(tenant, (status) => {
        if (!intent.demanded || (status !== undefined && status.state !== "activating")) return Exit.succeed(false)
        if (status?.lastError !== undefined && MissingTenants.isMissing(status.lastError)) return Exit.succeed(true)
        return (status?.failures ?? 0) < options.staleAfterFailures ? undefined : Exit.succeed(true)
      })
      .pipe(
        Effect.flatMap((failed) =>
          Effect.suspend(() => {
            demandedIntents.delete(intent)
            if (!failed || !intent.demanded || !isNewest(tenant, intent)) return Effect.void
            return Effect.andThen(
              dropped.log("tenants", Effect.void),
              Effect.sync(() => void intend(tenant, "absent"))
            )
          })
        )
      )

  /** Does what the intent asks for, and keeps it up: only one that wants a tenant absent is ever done. */
  const pursue = (tenant: TenantId, intent: Intent): Effect.Effect<void> => {
    switch (intent.want) {
      case "active":
        return Effect.andThen(
          intent.demanded ? Effect.forkIn(dropUnlessLive(tenant, intent), intent.scope) : Effect.void,
          activation.becomeLive(tenant, intent)
        )
      case "suspended":
        return Effect.andThen(
          cache.suspend(tenant),
          Effect.suspend(() => {
            settle(intent)
            return Effect.never
          })
        )
      case "absent":
        activation.forget(tenant)
        limiter.dismiss(tenant)
        return Effect.andThen(cache.forget(tenant), store.release(tenant)).pipe(
          Redaction.recover((defect) =>
            Redaction.log("Error", "Removing a tenant failed unexpectedly", { defect, tenant })
          )
        )
    }
  }

  const begin = Effect.fnUntraced(function* (tenant: TenantId, intent: Intent) {
    if (intent.want === "active") yield* cache.resume(tenant)
    // Before the update, which has those look again who wait for what comes of the intent.
    intent.begun = true
    if (intent.want === "active") yield* board.update(tenant, { failures: 0, lastError: undefined })
  })

  const isNewest = (tenant: TenantId, intent: Intent) => supervisors.get(tenant)?.intent === intent

  const supervise = (tenant: TenantId, intent: Intent, before: Intent | undefined): Effect.Effect<void> =>
    // It takes a turn before it begins: by then it is known, and can be superseded.
    Effect.yieldNow.pipe(
      Effect.andThen(before === undefined ? Effect.void : Scope.close(before.scope, Exit.void)),
      Effect.andThen(Effect.interruptible(Effect.andThen(begin(tenant, intent), pursue(tenant, intent)))),
      Effect.andThen(
        Effect.sync(() => {
          if (!isNewest(tenant, intent)) return
          supervisors.delete(tenant)
          // No newer intent closes its scope, which the manager's would keep. In another fiber: this one is in it.
          run(Scope.close(intent.scope, Exit.void))
        })
      ),
      // Drained: nothing of the tenant stays open, and reads go to the database.
      Effect.onInterrupt(() =>
        isNewest(tenant, intent) ? Effect.andThen(unfollowed(tenant, intent), store.release(tenant)) : Effect.void
      ),
      Effect.ensuring(Effect.sync(() => settle(intent)))
    )

  /**
   * The tenant is followed no more: reads go to the database, and nothing is kept of a tenant that is being removed.
   */
  const unfollowed = (tenant: TenantId, intent: Intent): Effect.Effect<void> =>
    intent.want === "absent" ? cache.forget(tenant) : cache.suspend(tenant)

  /** Wakes the callers that wait for the intent. */
  const settle = (intent: Intent) => {
    demandedIntents.delete(intent)
    Deferred.doneUnsafe(intent.settled, Effect.void)
  }

  /** The application itself named the tenant: it is no invented one. */
  const expect = (tenant: TenantId): void => {
    limiter.expect(tenant)
    board.certain(tenant)
  }

  /** Makes this the newest intent. */
  const intend = (
    tenant: TenantId,
    want: Intent["want"],
    { demanded = false, prepared = false }: { readonly demanded?: boolean; readonly prepared?: boolean } = {}
  ): Intent => {
    const before = supervisors.get(tenant)?.intent
    const intent: Intent = {
      want,
      scope: Scope.forkUnsafe(scope),
      settled: Deferred.makeUnsafe(),
      demanded,
      prepared,
      // Nothing is ever looked at then.
      looked: options.bootstrap === "skip",
      begun: false
    }
    if (demanded) {
      demandedIntents.add(intent)
      // A tenant that was live keeps its series and its log lines when its credentials are rotated.
      if (!prepared) board.doubtful(tenant)
    } else if (want === "active") expect(tenant)
    // Not interruptible until the intent before is released: a newer intent waits for this one, and so for all before
    // it.
    const fiber = run(supervise(tenant, intent, before), { uninterruptible: true })
    supervisors.set(tenant, { intent, fiber: Fiber.runIn(fiber, intent.scope) })
    // Last: a caller that it wakes goes on at once, and may state the next intent.
    if (before !== undefined) settle(before)
    return intent
  }

  return {
    intend,
    expect,
    /** The newest intent; `undefined` if nothing was ever wanted of the tenant, or it was removed. */
    intentOf: (tenant: TenantId): Intent | undefined => supervisors.get(tenant)?.intent,
    /** How many tenants are tried that only a read asked for, and that were not live yet. */
    countDemanded: (): number => demandedIntents.size,
    /** Runs an effect that no caller waits for, in the manager's scope. */
    inBackground: (effect: Effect.Effect<void>): Effect.Effect<void> => Effect.sync(() => void run(effect)),
    /**
     * Closes the manager's scope. From the first moment no snapshot answers, however long it takes to release the
     * sessions.
     */
    close: Effect.suspend(() =>
      Effect.forEach(supervisors, ([tenant, { intent }]) => unfollowed(tenant, intent), { discard: true })
    ).pipe(Effect.andThen(Scope.close(scope, Exit.void))),
    /** The supervisors that were ever started and not removed. */
    all: (): ReadonlyArray<{ readonly tenant: TenantId; readonly isDone: () => boolean }> =>
      [...supervisors].map(([tenant, { fiber }]) => ({ tenant, isDone: () => fiber.pollUnsafe() !== undefined }))
  }
})

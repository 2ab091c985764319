/**
 * What is wanted of each tenant, and the fiber that brings it about.
 *
 * ```
 *   intend ──▶ waiting ──▶ begun ──┬─ active:    preparing ── done ──▶ following the feed
 *               until the scope    │               ▲ │ failed             │ its objects are missing, or a defect
 *               of the intent      │               │ └──▶ backing off ◀───┘
 *               before is closed   │               └────────┘ (prepared already: following at once)
 *                                  ├─ suspended: the replica answers no reads ──▶ settled
 *                                  └─ absent:    everything is forgotten ──▶ settled, and removed from the map
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
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { ActivationError } from "../../schema/ActivationError.ts"
import { saysObjectsMissing, Unanswered } from "../../schema/EntryStoreError.ts"
import { show } from "../../schema/KeyName.ts"
import { SchemaBootstrapError } from "../../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { SchemaBootstrap } from "../../services/SchemaBootstrap.ts"
import { TenantCache } from "../../services/TenantCache.ts"
import { ReconnectSignal } from "../feed/ReconnectSignal.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import * as MissingTenants from "../runtime/MissingTenants.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as TenantLimiter from "../runtime/TenantLimiter.ts"
import { longestPreparationTurn } from "../runtime/Timeouts.ts"
import * as DatabasePreparation from "../store/DatabasePreparation.ts"
import * as CountedLines from "../telemetry/CountedLines.ts"
import * as Redaction from "../telemetry/Redaction.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"

export interface TenantSupervisorsOptions {
  readonly bootstrap: "ensure" | "verify" | "skip"
  readonly seedDefaults: boolean
  readonly staleAfterFailures: number
  readonly maxConcurrentActivations: number
}

/** What is wanted of a tenant. Each intent is an object of its own, so that a newer one can be told apart. */
export interface Intent {
  readonly want: "active" | "suspended" | "absent"
  /** Owns everything that runs for the intent. */
  readonly scope: Scope.Closeable
  /** Completed once nothing is left to do for it, or a newer intent superseded it. An active tenant's is never done. */
  readonly settled: Deferred.Deferred<void>
  /** Only a read asked for the tenant so far: the intent is dropped if the tenant does not become live. */
  demanded: boolean
  /** The database was prepared: the schema is up, the defaults are seeded. */
  prepared: boolean
  /** Whether it was prepared for this intent, and not for one before. */
  looked: boolean
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
  const bootstrap = yield* SchemaBootstrap
  const registry = yield* KeyRegistry
  const board = yield* StatusBoard
  const signal = yield* ReconnectSignal
  const limiter = yield* ConnectLimiter
  // A scope of its own and no child of the layer's, which would wait for it without a limit: `drain` closes it.
  const scope = Scope.makeUnsafe("parallel")
  // Supervisors run in the context of the plane, and belong neither to a span nor to the tenant of the caller who
  // states an intent.
  const fibers = yield* Scope.provide(FiberSet.make<void>(), scope)
  const run = yield* FiberSet.runtime(fibers)().pipe(
    Effect.updateContext((context: Context.Context<never>) => Context.omit(Tracer.ParentSpan)(context))
  )
  const turns = TenantLimiter.make({ permits: options.maxConcurrentActivations, longest: longestPreparationTurn })
  // Tenants that only reads asked for may be invented: they wait behind each other, and behind no tenant that was
  // activated.
  const turnsOfDemanded = TenantLimiter.make({
    permits: options.maxConcurrentActivations,
    longest: longestPreparationTurn
  })
  const supervisors = new Map<TenantId, Supervisor>()
  /** Intents that only a read asked for, until the tenant is live or the intent is over. */
  const demandedIntents = new Set<Intent>()

  if (options.seedDefaults) {
    yield* Effect.forEach(
      registry.unencodable,
      (name) =>
        Effect.logWarning("A default cannot be stored and is not seeded; it is in force all the same").pipe(
          Effect.annotateLogs({ key: show(name), problem: name.problem })
        ),
      { discard: true }
    )
  }

  const prepareDatabase = yield* DatabasePreparation.prepare(options)

  /** One attempt to prepare the tenant's database, in the tenant's turn. A defect that recurs is logged once. */
  const prepareOnce = (
    tenant: TenantId,
    attempt: number,
    demanded: boolean
  ): Effect.Effect<ReadonlyArray<string>, SchemaBootstrapError> =>
    (demanded ? turnsOfDemanded : turns).take(tenant, prepareDatabase(tenant)).pipe(
      Redaction.recover((defect) =>
        Effect.andThen(
          Redaction.log(attempt === 1 ? "Error" : "Debug", "Preparing a tenant failed unexpectedly", {
            defect,
            tenant
          }),
          Effect.fail(SchemaBootstrapError.of(tenant, new Unanswered({})))
        )
      ),
      Redaction.withSpan("Systemplane.activate", { tenant }),
      Effect.onError(() => bootstrap.abandon(tenant))
    )

  /** Shows what an operator should mend; each new warning is logged once. */
  const warn = (tenant: TenantId, warnings: ReadonlyArray<string>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const before = board.get(tenant)?.warnings ?? []
      if (warnings.length === before.length && warnings.every((warning, index) => warning === before[index])) {
        return Effect.void
      }
      const added = warnings.filter((warning) => !before.includes(warning))
      return Effect.andThen(
        board.update(tenant, { warnings }),
        added.length === 0
          ? Effect.void
          : Effect.annotateLogs(Effect.logWarning("A tenant's database should be mended"), { tenant, warnings: added })
      )
    })

  // A feed never ends by itself. Should a defect end it, it is reported, and the tenant is followed again.
  const follow = (tenant: TenantId): Effect.Effect<void> =>
    cache
      .follow(tenant)
      .pipe(
        Redaction.recover((defect) =>
          Redaction.log("Error", "Following a tenant failed unexpectedly", { defect, tenant })
        )
      )

  /** Follows the tenant until its objects are found missing: a table or a database may be dropped and made anew. */
  const followWhilePrepared = (tenant: TenantId, intent: Intent): Effect.Effect<void> => {
    // Nothing is to be looked at, hence nothing is prepared again.
    if (options.bootstrap === "skip") return follow(tenant)
    const missing = board
      .until(tenant, (status) => (areObjectsMissing(status?.lastError) ? Exit.void : undefined))
      .pipe(
        Effect.andThen(
          Effect.sync(() => {
            intent.prepared = false
          })
        )
      )
    return Effect.andThen(
      // What was found before they were prepared is no reason to prepare them again.
      areObjectsMissing(board.get(tenant)?.lastError) ? board.update(tenant, { lastError: undefined }) : Effect.void,
      Effect.raceFirst(follow(tenant), missing)
    )
  }

  /**
   * Prepares the database, however often it takes, then follows it.
   *
   * After a rotation the database is as it was, and is followed at once: while a snapshot may answer reads, there must
   * be a feed to notice that it cannot be kept current.
   */
  const becomeLive = Effect.fnUntraced(function* (tenant: TenantId, intent: Intent): Effect.fn.Return<never> {
    // A session that was opened for the feed of this intent may be dead by the time of the next one.
    yield* Scope.addFinalizer(intent.scope, bootstrap.abandon(tenant))
    if (intent.demanded) yield* Effect.forkIn(dropUnlessLive(tenant, intent), intent.scope)
    const attempts = yield* Scope.provide(signal.attempts(tenant), intent.scope)
    for (let attempt = 1; ; attempt++) {
      const prepared = intent.prepared
        ? Result.succeed(board.get(tenant)?.warnings ?? [])
        : yield* Effect.result(prepareOnce(tenant, attempt, intent.demanded))
      if (Result.isSuccess(prepared)) {
        if (attempt > 1 && !intent.prepared) yield* signal.recovered
        if (!intent.prepared) intent.looked = true
        intent.prepared = true
        yield* warn(tenant, prepared.success)
        const since = yield* MonotonicClock.millis
        yield* followWhilePrepared(tenant, intent)
        // Objects that are found missing soon after they were prepared are prepared again ever more slowly.
        if ((yield* MonotonicClock.millis) - since >= attempts.longestPause()) yield* attempts.reset
        attempt = 0
        yield* attempts.backOff
      } else {
        // Drawn before the failure is announced: a caller that hears of it may hurry the next attempt.
        yield* attempts.backOff
        yield* board.update(tenant, { failures: attempt, lastError: ActivationError.from(prepared.failure) })
      }
      yield* attempts.pause
    }
  })

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
        return becomeLive(tenant, intent)
      case "suspended":
        return Effect.andThen(
          cache.suspend(tenant),
          Effect.suspend(() => {
            settle(intent)
            return Effect.never
          })
        )
      case "absent":
        turns.forget(tenant)
        turnsOfDemanded.forget(tenant)
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

/** Whether the error says that objects are missing: the tenant is prepared again then. */
export const areObjectsMissing = (error: ActivationError | undefined): boolean =>
  error !== undefined && saysObjectsMissing(error.reason)

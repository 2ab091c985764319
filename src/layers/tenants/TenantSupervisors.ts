/**
 * One supervisor fiber per tenant, which pursues the newest intent.
 *
 * A newer intent has a fiber of its own, which interrupts the one before and begins once that has released everything. So
 * intents may come in any order and at any time, and the last one wins.
 */

import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import { ActivationError, BootstrapFailure, ConnectFailure, SameDatabase } from "../../schema/ActivationError.ts"
import * as Backoff from "../../schema/Backoff.ts"
import { Unanswered } from "../../schema/EntryStoreError.ts"
import { show } from "../../schema/KeyName.ts"
import { BootstrapFailed, SchemaBootstrapError } from "../../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { TenantCache } from "../../services/TenantCache.ts"
import { ReconnectSignal } from "../feed/ReconnectSignal.ts"
import * as TenantLimiter from "../runtime/TenantLimiter.ts"
import * as DatabasePreparation from "../store/DatabasePreparation.ts"
import * as Redaction from "../telemetry/Redaction.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"

/** Preparing a database that is up to date takes two short statements; one that takes longer holds up nobody else. */
const longestTurn = 250

export interface TenantSupervisorsOptions {
  readonly bootstrap: "ensure" | "verify" | "skip"
  readonly seedDefaults: boolean
  readonly reconnect: Backoff.Backoff
  readonly staleAfterFailures: number
  readonly maxConcurrentActivations: number
}

/** What somebody wants of a tenant. Each intent is an object of its own, so that a newer one can be told apart. */
export interface Intent {
  readonly want: "active" | "suspended" | "absent"
  /** Only a read asked for it so far: it is given up where it fails at first. */
  demanded: boolean
  /** The database was prepared: the schema is up, the defaults are seeded. */
  prepared: boolean
  /** Completed once the supervisor has taken it up, everything of the intent before it being released. */
  readonly started: Deferred.Deferred<void>
  /** Completed once there is nothing left to do for it, or a newer one took its place. An active tenant never settles. */
  readonly settled: Deferred.Deferred<void>
}

export const makeIntent = (
  want: Intent["want"],
  { demanded = false, prepared = false }: { readonly demanded?: boolean; readonly prepared?: boolean } = {}
): Intent => ({
  want,
  demanded,
  prepared,
  started: Deferred.makeUnsafe(),
  settled: Deferred.makeUnsafe()
})

interface Supervisor {
  readonly intent: Intent
  readonly fiber: Fiber.Fiber<void>
}

export const make = Effect.fnUntraced(function* (options: TenantSupervisorsOptions) {
  const cache = yield* TenantCache
  const store = yield* EntryStore
  const registry = yield* KeyRegistry
  const board = yield* StatusBoard
  const recovery = yield* ReconnectSignal
  // Supervisors end by interruption, when the manager drains: it waits for a limited time, which a fiber of the layer's own
  // scope would not allow. Nor do they belong to the span, if any, in which the plane was built.
  const fork = Effect.runForkWith(Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>()))
  const turns = TenantLimiter.make({ permits: options.maxConcurrentActivations, longest: longestTurn })
  const supervisors = new Map<TenantId, Supervisor>()

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

  const prepare = (tenant: TenantId): Effect.Effect<void, SchemaBootstrapError> =>
    turns.take(tenant, prepareDatabase(tenant))

  /**
   * Prepares the database, however often it takes, then follows it.
   *
   * After a rotation the database is as it was, and is followed at once: while a snapshot may answer reads, there must be a
   * feed to notice that it cannot be kept current.
   */
  const becomeLive = Effect.fnUntraced(function* (tenant: TenantId, intent: Intent): Effect.fn.Return<never> {
    if (intent.demanded) yield* Effect.forkChild(giveUpUnlessLive(tenant, intent))
    let wokenEarly = false
    for (let failures = 1; ; failures++) {
      const prepared = intent.prepared ? Result.void : yield* Effect.result(activation(tenant, failures))
      if (Result.isSuccess(prepared)) {
        if (failures > 1 && !intent.prepared) yield* recovery.recovered
        intent.prepared = true
        yield* follow(tenant)
      } else {
        yield* board.update(tenant, { failures, lastError: activationError(tenant, prepared.failure) })
      }
      wokenEarly = yield* recovery.pause(Backoff.delay(options.reconnect, failures, yield* Random.next), !wokenEarly)
    }
  })

  // A defect that comes back at every attempt is told once.
  const activation = (tenant: TenantId, attempt: number) =>
    prepare(tenant).pipe(
      Redaction.recover((defect) =>
        Effect.andThen(
          Redaction.log(attempt === 1 ? "Error" : "Debug", "Preparing a tenant failed unexpectedly", {
            defect,
            tenant
          }),
          Effect.fail(new SchemaBootstrapError({ tenant, reason: new BootstrapFailed({ cause: new Unanswered({}) }) }))
        )
      ),
      Redaction.withSpan("Systemplane.activate", { tenant })
    )

  // A feed never ends by itself. Should a defect end it, it is reported, and the tenant is followed again.
  const follow = (tenant: TenantId): Effect.Effect<void> =>
    cache
      .follow(tenant)
      .pipe(
        Redaction.recover((defect) =>
          Redaction.log("Error", "Following a tenant failed unexpectedly", { defect, tenant })
        )
      )

  /**
   * Forgets a tenant that only a read asked for, where it fails too often to become live for the first time: so the next read may
   * try again.
   */
  const giveUpUnlessLive = (tenant: TenantId, intent: Intent): Effect.Effect<void> =>
    Effect.suspend(() => {
      const status = board.get(tenant)
      if (!intent.demanded || status?.state !== "activating") return Effect.void
      if (status.failures < options.staleAfterFailures) {
        return Effect.andThen(board.next(tenant), giveUpUnlessLive(tenant, intent))
      }
      if (isNewest(tenant, intent)) intend(tenant, makeIntent("absent"))
      return Effect.void
    })

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
        return Effect.andThen(cache.forget(tenant), store.release(tenant)).pipe(
          Redaction.recover((defect) =>
            Redaction.log("Error", "Removing a tenant failed unexpectedly", { defect, tenant })
          )
        )
    }
  }

  const takeUp = Effect.fnUntraced(function* (tenant: TenantId, intent: Intent) {
    if (intent.want === "active") {
      yield* cache.resume(tenant)
      yield* board.update(tenant, { failures: 0, lastError: undefined })
    }
    Deferred.doneUnsafe(intent.started, Effect.void)
  })

  const isNewest = (tenant: TenantId, intent: Intent) => supervisors.get(tenant)?.intent === intent

  const supervise = (tenant: TenantId, intent: Intent, before: Fiber.Fiber<void> | undefined): Effect.Effect<void> =>
    // Whoever supersedes this intent waits for it, and so for all before it: hence not interruptible.
    Effect.yieldNow.pipe(
      Effect.andThen(before === undefined ? Effect.void : Fiber.interrupt(before)),
      Effect.uninterruptible,
      Effect.andThen(takeUp(tenant, intent)),
      Effect.andThen(pursue(tenant, intent)),
      Effect.andThen(
        Effect.sync(() => {
          if (isNewest(tenant, intent)) supervisors.delete(tenant)
        })
      ),
      // Drained: nothing of the tenant stays open, and reads go to the database.
      Effect.onInterrupt(() =>
        isNewest(tenant, intent) ? Effect.andThen(unfollowed(tenant, intent), store.release(tenant)) : Effect.void
      ),
      Effect.ensuring(Effect.sync(() => settle(intent)))
    )

  /** Nobody follows the tenant any more: reads go to the database, and nothing is kept of a tenant that is being removed. */
  const unfollowed = (tenant: TenantId, intent: Intent): Effect.Effect<void> =>
    intent.want === "absent" ? cache.forget(tenant) : cache.suspend(tenant)

  /** Nobody waits for an intent any more. */
  const settle = (intent: Intent) => {
    Deferred.doneUnsafe(intent.started, Effect.void)
    Deferred.doneUnsafe(intent.settled, Effect.void)
  }

  /** Makes this the newest intent. Its fiber takes a turn before it begins: by then it is known, and can be superseded. */
  const intend = (tenant: TenantId, intent: Intent): Intent => {
    const before = supervisors.get(tenant)
    if (before !== undefined) settle(before.intent)
    supervisors.set(tenant, { intent, fiber: fork(supervise(tenant, intent, before?.fiber)) })
    return intent
  }

  return {
    intend,
    /** What is wanted of the tenant; `undefined` where nobody said anything, or it was removed. */
    intentOf: (tenant: TenantId): Intent | undefined => supervisors.get(tenant)?.intent,
    /** Interrupts all supervisors at once. From then on no snapshot answers, however long it takes to release the sessions. */
    interrupt: Effect.suspend(() =>
      Effect.forEach(
        [...supervisors],
        ([tenant, { fiber, intent }]) => {
          fiber.interruptUnsafe()
          return unfollowed(tenant, intent)
        },
        { discard: true }
      )
    ),
    /** The supervisors that were ever started and not removed. */
    fibers: (): ReadonlyArray<{ readonly tenant: TenantId; readonly fiber: Fiber.Fiber<void> }> =>
      [...supervisors].map(([tenant, { fiber }]) => ({ tenant, fiber }))
  }
})

const activationError = (tenant: TenantId, cause: SchemaBootstrapError): ActivationError => {
  const connector =
    cause.reason._tag === "BootstrapFailed" && cause.reason.cause._tag === "Unreachable"
      ? cause.reason.cause.cause
      : undefined
  if (connector === undefined) return new ActivationError({ reason: new BootstrapFailure({ cause }) })
  return new ActivationError({
    reason:
      connector.reason._tag === "DatabaseShared"
        ? new SameDatabase({ tenant, other: connector.reason.other })
        : new ConnectFailure({ cause: connector })
  })
}

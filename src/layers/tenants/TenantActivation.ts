/**
 * What an activation does, for as long as the tenant is wanted active: prepare its database, follow its feed, and begin
 * again if either ends.
 *
 * ```
 *   preparing ── done ──▶ following the feed
 *     ▲ │ failed             │ its objects are missing, or a defect
 *     │ └──▶ backing off ◀───┘
 *     └────────┘ (prepared already: following at once)
 * ```
 *
 * It never returns: closing the scope of the intent ends it (TenantSupervisors). Preparations take turns, and tenants
 * that only a read asked for wait behind each other.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { ActivationError } from "../../schema/ActivationError.ts"
import { saysObjectsMissing } from "../../schema/CodeWords.ts"
import { Unanswered } from "../../schema/EntryStoreError.ts"
import { show } from "../../schema/KeyName.ts"
import { SchemaBootstrapError } from "../../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { SchemaBootstrap } from "../../services/SchemaBootstrap.ts"
import { TenantCache } from "../../services/TenantCache.ts"
import { ReconnectSignal } from "../feed/ReconnectSignal.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import * as TenantLimiter from "../runtime/TenantLimiter.ts"
import { longestPreparationTurn } from "../runtime/Timeouts.ts"
import * as DatabasePreparation from "../store/DatabasePreparation.ts"
import * as Redaction from "../telemetry/Redaction.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"

export interface TenantActivationOptions {
  readonly bootstrap: "ensure" | "verify" | "skip"
  readonly seedDefaults: boolean
  readonly maxConcurrentActivations: number
}

/** What is known of one activation while it lasts. */
export interface Activation {
  /** Owns everything that runs for it. */
  readonly scope: Scope.Closeable
  /** Only a read asked for the tenant so far. */
  readonly demanded: boolean
  /** The database was prepared: the schema is up, the defaults are seeded. */
  prepared: boolean
  /** Whether it was prepared for this activation, and not for one before. */
  looked: boolean
}

export const make = Effect.fnUntraced(function* (options: TenantActivationOptions) {
  const cache = yield* TenantCache
  const bootstrap = yield* SchemaBootstrap
  const registry = yield* KeyRegistry
  const board = yield* StatusBoard
  const signal = yield* ReconnectSignal
  const turns = TenantLimiter.make({ permits: options.maxConcurrentActivations, longest: longestPreparationTurn })
  // Tenants that only reads asked for may be invented: they wait behind each other, and behind no tenant that was
  // activated.
  const turnsOfDemanded = TenantLimiter.make({
    permits: options.maxConcurrentActivations,
    longest: longestPreparationTurn
  })

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
  const followWhilePrepared = (tenant: TenantId, activation: Activation): Effect.Effect<void> => {
    // Nothing is to be looked at, hence nothing is prepared again.
    if (options.bootstrap === "skip") return follow(tenant)
    const missing = board
      .until(tenant, (status) => (areObjectsMissing(status?.lastError) ? Exit.void : undefined))
      .pipe(
        Effect.andThen(
          Effect.sync(() => {
            activation.prepared = false
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
  const becomeLive = Effect.fnUntraced(function* (tenant: TenantId, activation: Activation): Effect.fn.Return<never> {
    // A session that was opened for the feed of this activation may be dead by the time of the next one.
    yield* Scope.addFinalizer(activation.scope, bootstrap.abandon(tenant))
    const attempts = yield* Scope.provide(signal.attempts(tenant), activation.scope)
    for (let attempt = 1; ; attempt++) {
      const prepared = activation.prepared
        ? Result.succeed(board.get(tenant)?.warnings ?? [])
        : yield* Effect.result(prepareOnce(tenant, attempt, activation.demanded))
      if (Result.isSuccess(prepared)) {
        if (attempt > 1 && !activation.prepared) yield* signal.recovered
        if (!activation.prepared) activation.looked = true
        activation.prepared = true
        yield* warn(tenant, prepared.success)
        const since = yield* MonotonicClock.millis
        yield* followWhilePrepared(tenant, activation)
        // Objects that are found missing soon after they were prepared are prepared again after growing pauses.
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

  return {
    becomeLive,
    /** Forgets the turns of a tenant that is removed. */
    forget: (tenant: TenantId): void => {
      turns.forget(tenant)
      turnsOfDemanded.forget(tenant)
    }
  }
})

/** Whether the error says that objects are missing: the tenant is prepared again then. */
export const areObjectsMissing = (error: ActivationError | undefined): boolean =>
  error !== undefined && saysObjectsMissing(error.reason)

/**
 * One supervisor fiber per tenant.
 *
 * A supervisor pursues the newest intent: it starts what the intent asks for, and interrupts it when a newer one arrives.
 * So intents may come in any order and at any time, and the last one wins.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import { ActivationError, BootstrapFailure, ConnectFailure, SameDatabase } from "../schema/ActivationError.ts"
import * as Backoff from "../schema/Backoff.ts"
import { Unanswered } from "../schema/EntryStoreError.ts"
import { BootstrapFailed, SchemaBootstrapError } from "../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../schema/TenantId.ts"
import { EntryStore } from "../services/EntryStore.ts"
import { KeyRegistry } from "../services/KeyRegistry.ts"
import { TenantCache } from "../services/TenantCache.ts"
import * as Defects from "./Defects.ts"
import * as Preparation from "./Preparation.ts"
import { Recovery } from "./Recovery.ts"
import { StatusBoard } from "./StatusBoard.ts"
import * as Turns from "./Turns.ts"

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
  intent: Intent
  readonly superseded: Latch.Latch
  fiber: Fiber.Fiber<void> | undefined
}

export const make = Effect.fnUntraced(function* (options: TenantSupervisorsOptions) {
  const cache = yield* TenantCache
  const store = yield* EntryStore
  const registry = yield* KeyRegistry
  const board = yield* StatusBoard
  const recovery = yield* Recovery
  // Supervisors end by interruption, when the manager drains: it waits for a limited time, which a fiber of the layer's own
  // scope would not allow. Nor do they belong to the span, if any, in which the plane was built.
  const fork = Effect.runForkWith(Context.omit(Tracer.ParentSpan)(yield* Effect.context<never>()))
  const turns = Turns.make({ permits: options.maxConcurrentActivations, longest: longestTurn })
  const supervisors = new Map<TenantId, Supervisor>()

  if (options.seedDefaults) {
    yield* Effect.forEach(
      registry.unencodable,
      ({ key, namespace, problem }) =>
        Effect.logWarning("A default cannot be stored and is not seeded; it is in force all the same").pipe(
          Effect.annotateLogs({ key: `${namespace}/${key}`, problem })
        ),
      { discard: true }
    )
  }

  const prepareDatabase = yield* Preparation.prepare(options)

  const prepare = (tenant: TenantId): Effect.Effect<void, SchemaBootstrapError> =>
    turns.take(tenant, prepareDatabase(tenant))

  /**
   * Prepares the database, however often it takes, then follows it. Ends only for a demanded tenant that is given up.
   *
   * After a rotation the database is as it was, and is followed at once: while a snapshot may answer reads, there must be a
   * feed to notice that it cannot be kept current.
   */
  const becomeLive = (tenant: TenantId, intent: Intent): Effect.Effect<void> =>
    Effect.gen(function* () {
      let hastened = false
      for (let failures = 1; ; failures++) {
        const prepared = intent.prepared ? Result.void : yield* Effect.result(activation(tenant, failures))
        if (Result.isSuccess(prepared)) {
          if (failures > 1 && !intent.prepared) yield* recovery.gotThrough
          intent.prepared = true
          const hopeless = yield* Effect.raceFirst(
            Effect.as(follow(tenant), false),
            Effect.as(neverLive(tenant, intent), true)
          )
          if (hopeless) return
        } else {
          yield* board.update(tenant, { failures, lastError: activationError(tenant, prepared.failure) })
          if (intent.demanded && failures >= options.staleAfterFailures) return
        }
        hastened = yield* recovery.pause(Backoff.delay(options.reconnect, failures, yield* Random.next), !hastened)
      }
    })

  // A defect that comes back at every attempt is told once.
  const activation = (tenant: TenantId, attempt: number) =>
    Effect.catchDefect(prepare(tenant), (defect) =>
      Effect.andThen(
        Defects.log(attempt === 1 ? "Error" : "Debug", "Preparing a tenant failed unexpectedly", { defect, tenant }),
        Effect.fail(new SchemaBootstrapError({ tenant, reason: new BootstrapFailed({ cause: new Unanswered({}) }) }))
      )
    ).pipe(Defects.withSpan("Systemplane.activate", { tenant }))

  // A feed never ends by itself. Should a defect end it, it is reported, and the tenant is followed again.
  const follow = (tenant: TenantId): Effect.Effect<void> =>
    Effect.catchDefect(cache.follow(tenant), (defect) =>
      Defects.log("Error", "Following a tenant failed unexpectedly", { defect, tenant })
    )

  /** Ends once a demanded tenant has failed too often to become live for the first time. */
  const neverLive = (tenant: TenantId, intent: Intent): Effect.Effect<void> =>
    Effect.suspend(() => {
      const status = board.get(tenant)
      const failed = status?.state === "activating" && status.failures >= options.staleAfterFailures
      return failed && intent.demanded ? Effect.void : Effect.andThen(board.next(tenant), neverLive(tenant, intent))
    })

  /** Does what the intent asks for. For an active tenant it goes on until interrupted. */
  const pursue = (tenant: TenantId, intent: Intent): Effect.Effect<void> => {
    switch (intent.want) {
      case "active":
        return becomeLive(tenant, intent)
      case "suspended":
        return cache.suspend(tenant)
      case "absent":
        turns.forget(tenant)
        return Effect.andThen(cache.forget(tenant), store.release(tenant))
    }
  }

  const supervise = (tenant: TenantId, supervisor: Supervisor): Effect.Effect<void> =>
    Effect.gen(function* () {
      while (true) {
        const { intent } = supervisor
        supervisor.superseded.closeUnsafe()
        if (intent.want === "active") {
          yield* cache.resume(tenant)
          yield* board.update(tenant, { failures: 0, lastError: undefined })
        }
        Deferred.doneUnsafe(intent.started, Effect.void)
        yield* Effect.raceFirst(pursue(tenant, intent), supervisor.superseded.await)
        if (supervisor.intent !== intent) continue
        if (intent.want === "active") {
          // A demanded tenant that was given up is forgotten, so that the next read may try again; unless somebody activated it.
          if (!intent.demanded) continue
          settle(intent)
          supervisor.intent = makeIntent("absent")
          continue
        }
        if (intent.want === "absent") supervisors.delete(tenant)
        Deferred.doneUnsafe(intent.settled, Effect.void)
        if (intent.want === "absent") return
        yield* supervisor.superseded.await
      }
    }).pipe(
      // However it ends: nothing of the tenant stays open, and reads go to the database.
      Effect.onInterrupt(() => Effect.andThen(unfollowed(tenant, supervisor), store.release(tenant))),
      Effect.ensuring(Effect.sync(() => settle(supervisor.intent)))
    )

  /** Nobody follows the tenant any more: reads go to the database, and nothing is kept of a tenant that is being removed. */
  const unfollowed = (tenant: TenantId, { intent }: Supervisor): Effect.Effect<void> =>
    intent.want === "absent" ? cache.forget(tenant) : cache.suspend(tenant)

  /** Nobody waits for an intent any more. */
  const settle = (intent: Intent) => {
    Deferred.doneUnsafe(intent.started, Effect.void)
    Deferred.doneUnsafe(intent.settled, Effect.void)
  }

  /** Makes this the newest intent, and starts a supervisor where there is none. */
  const intend = (tenant: TenantId, intent: Intent): Intent => {
    const supervisor = supervisors.get(tenant)
    if (supervisor !== undefined) {
      settle(supervisor.intent)
      supervisor.intent = intent
      supervisor.superseded.openUnsafe()
      return intent
    }
    const started: Supervisor = { intent, superseded: Latch.makeUnsafe(false), fiber: undefined }
    supervisors.set(tenant, started)
    started.fiber = fork(supervise(tenant, started))
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
        ([tenant, supervisor]) => {
          supervisor.fiber?.interruptUnsafe()
          return unfollowed(tenant, supervisor)
        },
        { discard: true }
      )
    ),
    /** The supervisors that were ever started and not removed. */
    fibers: (): ReadonlyArray<{ readonly tenant: TenantId; readonly fiber: Fiber.Fiber<void> }> =>
      [...supervisors].flatMap(([tenant, { fiber }]) => (fiber === undefined ? [] : [{ tenant, fiber }]))
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

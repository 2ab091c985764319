/**
 * One supervisor fiber per tenant.
 *
 * A supervisor pursues the newest intent: it starts what the intent asks for, and interrupts it when a newer one arrives.
 * So intents may come in any order and at any time, and the last one wins.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import {
  ActivationError,
  type ActivationErrorReason,
  BootstrapFailure,
  ConnectFailure,
  SameDatabase,
  Superseded
} from "../schema/ActivationError.ts"
import * as Backoff from "../schema/Backoff.ts"
import { Closed, InvalidTenantId } from "../schema/ConfigError.ts"
import type { SchemaBootstrapError } from "../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../schema/TenantId.ts"
import * as Tenant from "../schema/TenantId.ts"
import type { TenantLifecycleEvent } from "../schema/TenantLifecycleEvent.ts"
import { EntryStore } from "../services/EntryStore.ts"
import { KeyRegistry } from "../services/KeyRegistry.ts"
import { SchemaBootstrap } from "../services/SchemaBootstrap.ts"
import { TenantCache } from "../services/TenantCache.ts"
import { type DrainReport, TenantManager } from "../services/TenantManager.ts"
import { StatusBoard } from "./StatusBoard.ts"

export interface SupervisedTenantManagerOptions {
  readonly activation: "onDemand" | "explicit"
  readonly bootstrap: "ensure" | "verify" | "skip"
  readonly seedDefaults: boolean
  readonly reconnect: Backoff.Backoff
  readonly staleAfterFailures: number
  readonly maxConcurrentActivations: number
  /** In milliseconds. */
  readonly drainTimeout: number
}

/** What somebody wants of a tenant. Each intent is an object of its own, so that a newer one can be told apart. */
interface Intent {
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

const makeIntent = (
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

const make = Effect.fnUntraced(function* (options: SupervisedTenantManagerOptions) {
  const cache = yield* TenantCache
  const store = yield* EntryStore
  const bootstrap = yield* SchemaBootstrap
  const registry = yield* KeyRegistry
  const board = yield* StatusBoard
  // Supervisors end by interruption in `drain`, which the layer's finalizer runs: it waits for a limited time, which a fiber
  // of the layer's own scope would not allow.
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const preparing = yield* Semaphore.make(options.maxConcurrentActivations)

  const supervisors = new Map<TenantId, Supervisor>()
  /** Tenants that were removed: a late read must not bring them back. */
  const removed = new Set<TenantId>()
  const closed = Latch.makeUnsafe(false)

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

  const prepareSchema = {
    ensure: (tenant: TenantId) => Effect.asVoid(bootstrap.ensure(tenant)),
    verify: bootstrap.verify,
    skip: () => Effect.void
  }[options.bootstrap]

  const prepare = (tenant: TenantId): Effect.Effect<void, SchemaBootstrapError> =>
    preparing.withPermit(
      Effect.andThen(prepareSchema(tenant), options.seedDefaults ? bootstrap.seed(tenant, registry.seeds) : Effect.void)
    )

  /**
   * Prepares the database, however often it takes, then follows it. Ends only for a demanded tenant that is given up.
   *
   * After a rotation the database is as it was, and is followed at once: while a snapshot may answer reads, there must be a
   * feed to notice that it cannot be kept current.
   */
  const becomeLive = (tenant: TenantId, intent: Intent): Effect.Effect<void> =>
    Effect.gen(function* () {
      for (let failures = 1; ; failures++) {
        const prepared = intent.prepared ? Result.void : yield* Effect.result(activation(tenant))
        if (Result.isSuccess(prepared)) {
          intent.prepared = true
          yield* follow(tenant)
        } else {
          yield* board.update(tenant, { failures, lastError: activationError(tenant, prepared.failure) })
          if (intent.demanded && failures >= options.staleAfterFailures) return
        }
        yield* Effect.sleep(Backoff.delay(options.reconnect, failures, yield* Random.next))
      }
    })

  const activation = (tenant: TenantId) =>
    Effect.withSpan(prepare(tenant), "Systemplane.activate", { attributes: { tenant } })

  // A feed never ends by itself. Should a defect end it, it is reported, and the tenant is followed again.
  const follow = (tenant: TenantId): Effect.Effect<void> =>
    Effect.catchDefect(cache.follow(tenant), (defect) =>
      Effect.logError("Following a tenant failed unexpectedly", defect).pipe(Effect.annotateLogs({ tenant }))
    )

  /** Does what the intent asks for. For an active tenant it goes on until interrupted. */
  const pursue = (tenant: TenantId, intent: Intent): Effect.Effect<void> => {
    switch (intent.want) {
      case "active":
        return becomeLive(tenant, intent)
      case "suspended":
        return cache.suspend(tenant)
      case "absent":
        return Effect.andThen(cache.forget(tenant), store.release(tenant))
    }
  }

  const supervise = (tenant: TenantId, supervisor: Supervisor): Effect.Effect<void> =>
    Effect.gen(function* () {
      while (true) {
        const { intent } = supervisor
        supervisor.superseded.closeUnsafe()
        if (intent.want === "active") yield* board.update(tenant, { failures: 0, lastError: undefined })
        Deferred.doneUnsafe(intent.started, Effect.void)
        yield* Effect.raceFirst(pursue(tenant, intent), supervisor.superseded.await)
        if (supervisor.intent !== intent) continue
        if (intent.want === "active") {
          // A demanded tenant that was given up: forgotten, so that the next read may try again.
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
      Effect.onInterrupt(() => Effect.andThen(cache.suspend(tenant), store.release(tenant)))
    )

  /** Makes this the newest intent, and starts a supervisor where there is none. */
  const intend = (tenant: TenantId, intent: Intent): Intent => {
    const supervisor = supervisors.get(tenant)
    if (supervisor !== undefined) {
      Deferred.doneUnsafe(supervisor.intent.started, Effect.void)
      Deferred.doneUnsafe(supervisor.intent.settled, Effect.void)
      supervisor.intent = intent
      supervisor.superseded.openUnsafe()
      return intent
    }
    const started: Supervisor = { intent, superseded: Latch.makeUnsafe(false), fiber: undefined }
    supervisors.set(tenant, started)
    started.fiber = fork(supervise(tenant, started))
    return intent
  }

  const orClosed = <A>(effect: Effect.Effect<A, ActivationError>): Effect.Effect<A, ActivationError> =>
    Effect.raceFirst(effect, Effect.andThen(closed.await, failWith(new Closed())))

  /** Waits until the tenant is live, or the next attempt fails, or nobody wants it live any more. */
  const awaitOutcome = (tenant: TenantId, intent: Intent): Effect.Effect<void, ActivationError> =>
    Effect.gen(function* () {
      yield* Deferred.await(intent.started)
      const before = board.get(tenant)?.failures ?? 0
      while (true) {
        if (supervisors.get(tenant)?.intent !== intent) return yield* failWith(new Superseded({ tenant }))
        const status = board.get(tenant)
        if (status?.state === "live") return
        if (status?.lastError !== undefined && status.failures > before) return yield* status.lastError
        yield* Effect.raceFirst(board.next(tenant), Deferred.await(intent.settled))
      }
    }).pipe(orClosed)

  const activate = (tenant: TenantId) =>
    Effect.suspend(() => {
      removed.delete(tenant)
      const current = supervisors.get(tenant)?.intent
      if (current?.want !== "active") return awaitOutcome(tenant, intend(tenant, makeIntent("active")))
      current.demanded = false
      return awaitOutcome(tenant, current)
    })

  const suspend = (tenant: TenantId) =>
    Effect.suspend(() => {
      const current = supervisors.get(tenant)?.intent
      if (current === undefined) return unknown(tenant, "suspend")
      return Deferred.await((current.want === "suspended" ? current : intend(tenant, makeIntent("suspended"))).settled)
    })

  const remove = (tenant: TenantId) =>
    Effect.suspend(() => {
      removed.add(tenant)
      const current = supervisors.get(tenant)?.intent
      // Reads of a tenant that nobody activated may have opened a client all the same.
      if (current === undefined) return Effect.andThen(store.release(tenant), unknown(tenant, "remove"))
      return Deferred.await((current.want === "absent" ? current : intend(tenant, makeIntent("absent"))).settled)
    })

  const rotateCredentials = (tenant: TenantId) =>
    Effect.suspend(() => {
      const current = supervisors.get(tenant)?.intent
      const released = store.release(tenant)
      if (current === undefined) return Effect.andThen(released, unknown(tenant, "rotateCredentials"))
      if (current.want !== "active") return released
      return Effect.andThen(
        released,
        Effect.suspend(() => awaitOutcome(tenant, intend(tenant, makeIntent("active", current))))
      )
    })

  const unknown = (tenant: TenantId, call: string) =>
    Effect.logDebug("Nothing to do for an unknown tenant").pipe(Effect.annotateLogs({ tenant, call }))

  const checked =
    (
      call: (tenant: TenantId) => Effect.Effect<void, ActivationError>
    ): ((tenant: string) => Effect.Effect<void, ActivationError>) =>
    (given) =>
      Option.match(Tenant.parse(given), {
        onNone: () => failWith(InvalidTenantId.from(given)),
        onSome: (tenant) => (closed.isOpen() ? failWith(new Closed()) : call(tenant))
      })

  const awaitLive = (tenant: TenantId): Effect.Effect<void, ActivationError> =>
    Effect.gen(function* () {
      while (board.get(tenant)?.state !== "live") yield* board.next(tenant)
    }).pipe(orClosed)

  const drain = (timeout: Duration.Input): Effect.Effect<DrainReport> =>
    Effect.gen(function* () {
      closed.openUnsafe()
      const fibers = [...supervisors].flatMap(([tenant, { fiber }]) => (fiber === undefined ? [] : [{ tenant, fiber }]))
      for (const { fiber } of fibers) fiber.interruptUnsafe()
      yield* Effect.forEach(fibers, ({ fiber }) => Fiber.await(fiber), {
        concurrency: "unbounded",
        discard: true
      }).pipe(Effect.timeoutOption(timeout))
      const unfinished = fibers.filter(({ fiber }) => fiber.pollUnsafe() === undefined)
      if (unfinished.length > 0) {
        yield* Effect.logWarning("Some tenants did not finish within the budget of the drain").pipe(
          Effect.annotateLogs({ tenants: unfinished.map(({ tenant }) => tenant) })
        )
      }
      return {
        finished: fibers.filter(({ fiber }) => fiber.pollUnsafe() !== undefined).map(({ tenant }) => tenant),
        unfinished: unfinished.map(({ tenant }) => tenant)
      }
    })

  yield* Effect.addFinalizer(() => drain(options.drainTimeout))

  const calls = {
    activate: checked(activate),
    suspend: checked(suspend),
    remove: checked(remove),
    rotateCredentials: checked(rotateCredentials)
  }

  return TenantManager.of({
    ...calls,
    handle: (event: TenantLifecycleEvent) => {
      switch (event._tag) {
        case "TenantActivated":
          return calls.activate(event.tenant)
        case "TenantSuspended":
          return calls.suspend(event.tenant)
        case "TenantDeleted":
          return calls.remove(event.tenant)
        case "TenantCredentialsRotated":
          return calls.rotateCredentials(event.tenant)
      }
    },
    demand: (tenant) =>
      Effect.sync(() => {
        const wanted =
          options.activation === "onDemand" && !closed.isOpen() && !supervisors.has(tenant) && !removed.has(tenant)
        if (wanted) intend(tenant, makeIntent("active", { demanded: true }))
      }),
    status: (tenant) => Effect.sync(() => Option.flatMapNullishOr(Tenant.parse(tenant), board.get)),
    statuses: Effect.sync(board.all),
    statusChanges: board.changes,
    awaitLive: checked(awaitLive),
    drain: ({ timeout } = {}) => drain(timeout ?? options.drainTimeout),
    isClosed: Effect.sync(() => closed.isOpen())
  })
})

export const layer = (options: SupervisedTenantManagerOptions) => Layer.effect(TenantManager, make(options))

const failWith = (reason: ActivationErrorReason) => Effect.fail(new ActivationError({ reason }))

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

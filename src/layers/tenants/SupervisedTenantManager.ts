/**
 * `TenantManager` over one supervisor per tenant: each call states an intent, and waits for what comes of it.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ActivationError, type ActivationErrorReason, Superseded } from "../../schema/ActivationError.ts"
import { Closed, InvalidTenantId } from "../../schema/ConfigError.ts"
import * as Health from "../../schema/Health.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Tenant from "../../schema/TenantId.ts"
import type { TenantLifecycleEvent } from "../../schema/TenantLifecycleEvent.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { type DrainReport, TenantManager } from "../../services/TenantManager.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"
import * as TenantSupervisors from "./TenantSupervisors.ts"

export interface SupervisedTenantManagerOptions extends TenantSupervisors.TenantSupervisorsOptions {
  readonly activation: "onDemand" | "explicit"
  /** In milliseconds. */
  readonly drainTimeout: number
}

const make = Effect.fnUntraced(function* (options: SupervisedTenantManagerOptions) {
  const store = yield* EntryStore
  const board = yield* StatusBoard
  const supervisors = yield* TenantSupervisors.make(options)

  /** Tenants that were removed: a late read must not bring them back. */
  const removed = new Set<TenantId>()
  const closed = Latch.makeUnsafe(false)

  const orClosed = <A>(effect: Effect.Effect<A, ActivationError>): Effect.Effect<A, ActivationError> =>
    Effect.raceFirst(
      effect,
      Effect.andThen(closed.await, () => failWith(new Closed()))
    )

  /** Waits until the tenant is live, or an attempt after the first `before` ones fails, or nobody wants it live any more. */
  const awaitOutcome = Effect.fnUntraced(function* (
    tenant: TenantId,
    intent: TenantSupervisors.Intent,
    before: number
  ): Effect.fn.Return<void, ActivationError> {
    yield* Deferred.await(intent.started)
    while (true) {
      if (supervisors.intentOf(tenant) !== intent) return yield* failWith(new Superseded({ tenant }))
      const status = board.get(tenant)
      if (status?.state === "live") return
      if (status?.lastError !== undefined && status.failures > before) return yield* status.lastError
      yield* Effect.raceFirst(board.next(tenant), Deferred.await(intent.settled))
    }
  }, orClosed)

  const activate = (tenant: TenantId) =>
    Effect.suspend(() => {
      removed.delete(tenant)
      const current = supervisors.intentOf(tenant)
      if (current?.want !== "active") {
        return awaitOutcome(tenant, supervisors.intend(tenant, TenantSupervisors.makeIntent("active")), 0)
      }
      current.demanded = false
      return awaitOutcome(tenant, current, board.get(tenant)?.failures ?? 0)
    })

  const suspend = (tenant: TenantId) =>
    Effect.suspend(() => {
      const current = supervisors.intentOf(tenant)
      // One that is being removed is as good as gone: only `activate` brings it back.
      if (current === undefined || current.want === "absent") return unknown(tenant, "suspend")
      const intent =
        current.want === "suspended" ? current : supervisors.intend(tenant, TenantSupervisors.makeIntent("suspended"))
      return orClosed(Deferred.await(intent.settled))
    })

  const remove = (tenant: TenantId) =>
    Effect.suspend(() => {
      removed.add(tenant)
      const current = supervisors.intentOf(tenant)
      // Reads of a tenant that nobody activated may have opened a client all the same.
      if (current === undefined) return Effect.andThen(store.release(tenant), unknown(tenant, "remove"))
      const intent =
        current.want === "absent" ? current : supervisors.intend(tenant, TenantSupervisors.makeIntent("absent"))
      return orClosed(Deferred.await(intent.settled))
    })

  const rotateCredentials = (tenant: TenantId) =>
    Effect.suspend(() => {
      const current = supervisors.intentOf(tenant)
      const released = store.release(tenant)
      if (current === undefined) return Effect.andThen(released, unknown(tenant, "rotateCredentials"))
      if (current.want !== "active") return released
      return Effect.andThen(
        released,
        Effect.suspend(() =>
          awaitOutcome(tenant, supervisors.intend(tenant, TenantSupervisors.makeIntent("active", current)), 0)
        )
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
        // Looked at when the call runs, which may be long after it was made.
        onSome: (tenant) => Effect.suspend(() => (closed.isOpen() ? failWith(new Closed()) : call(tenant)))
      })

  const awaitLive = Effect.fnUntraced(function* (tenant: TenantId): Effect.fn.Return<void, ActivationError> {
    while (board.get(tenant)?.state !== "live") yield* board.next(tenant)
  }, orClosed)

  const drain = Effect.fnUntraced(function* (timeout: Duration.Input): Effect.fn.Return<DrainReport> {
    closed.openUnsafe()
    const fibers = supervisors.fibers()
    yield* supervisors.interrupt
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
          options.activation === "onDemand" &&
          !closed.isOpen() &&
          supervisors.intentOf(tenant) === undefined &&
          !removed.has(tenant)
        if (wanted) supervisors.intend(tenant, TenantSupervisors.makeIntent("active", { demanded: true }))
      }),
    status: (tenant) => Effect.sync(() => Option.flatMapNullishOr(Tenant.parse(tenant), board.get)),
    statuses: Effect.sync(board.all),
    health: Effect.sync(() => Health.make(board.all(), closed.isOpen())),
    statusChanges: board.changes,
    awaitLive: checked(awaitLive),
    drain: ({ timeout } = {}) => drain(timeout ?? options.drainTimeout),
    isClosed: Effect.sync(() => closed.isOpen())
  })
})

export const layer = (options: SupervisedTenantManagerOptions) => Layer.effect(TenantManager, make(options))

const failWith = (reason: ActivationErrorReason) => Effect.fail(new ActivationError({ reason }))

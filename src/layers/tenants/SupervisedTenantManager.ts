/**
 * `TenantManager` over one supervisor per tenant: each call states an intent, and waits for what comes of it.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ActivationError, type ActivationErrorReason, Superseded } from "../../schema/ActivationError.ts"
import { Closed } from "../../schema/ConfigError.ts"
import * as Health from "../../schema/Health.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Tenant from "../../schema/TenantId.ts"
import { parseLifecycleEvent, type TenantLifecycleEvent } from "../../schema/TenantLifecycleEvent.ts"
import type { TenantStatus } from "../../schema/TenantStatus.ts"
import { EntryStore } from "../../services/EntryStore.ts"
import { type DrainReport, TenantManager } from "../../services/TenantManager.ts"
import { ReconnectSignal } from "../feed/ReconnectSignal.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import * as ApplicationCode from "../telemetry/ApplicationCode.ts"
import { StatusBoard } from "../telemetry/StatusBoard.ts"
import * as TenantActivation from "./TenantActivation.ts"
import * as TenantSupervisors from "./TenantSupervisors.ts"

export interface SupervisedTenantManagerOptions extends TenantSupervisors.TenantSupervisorsOptions {
  readonly activation: "onDemand" | "explicit"
  /** In milliseconds. */
  readonly drainTimeout: number
}

/**
 * Tenants that only reads asked for and that were never live, tried at once. Requests may carry invented ids: this
 * bounds what they cost in statuses, log lines and attempts. A tenant beyond it is read through, and tried by a later
 * read.
 */
const mostDemanded = 100

/**
 * Removals that are remembered: reads of a removed tenant end within seconds, long before that many others are removed.
 */
const rememberedRemovals = 10_000

const make = Effect.fnUntraced(function* (options: SupervisedTenantManagerOptions) {
  const store = yield* EntryStore
  const board = yield* StatusBoard
  const signal = yield* ReconnectSignal
  const limiter = yield* ConnectLimiter
  const enter = yield* ApplicationCode.entrance
  const supervisors = yield* TenantSupervisors.make(options)

  /** Tenants that were removed last: a late read must not bring them back. */
  const removed = new Set<TenantId>()
  const remember = (tenant: TenantId) => {
    removed.delete(tenant)
    removed.add(tenant)
    if (removed.size > rememberedRemovals) removed.delete(removed.values().next().value!)
  }
  const closed = Latch.makeUnsafe(false)

  const orClosed =
    (tenant: TenantId) =>
    <A>(effect: Effect.Effect<A, ActivationError>): Effect.Effect<A, ActivationError> =>
      Effect.raceFirst(
        effect,
        Effect.andThen(closed.await, () => failWith(tenant, new Closed()))
      )

  /** Waits until the tenant is live, an attempt after the first `before` ones failed, or the intent is superseded. */
  const outcomeOf = (
    tenant: TenantId,
    intent: TenantSupervisors.Intent,
    before: number
  ): Effect.Effect<void, ActivationError> =>
    board
      .until(tenant, (status): Exit.Exit<void, ActivationError> | undefined => {
        if (!intent.begun) return undefined
        if (status?.state === "live") return Exit.void
        // A database that was prepared for an intent before is prepared again first.
        if (!intent.looked && TenantActivation.areObjectsMissing(status?.lastError)) return undefined
        return status?.lastError !== undefined && status.failures > before ? Exit.fail(status.lastError) : undefined
      })
      .pipe(
        Effect.raceFirst(Effect.andThen(Deferred.await(intent.settled), () => failWith(tenant, new Superseded()))),
        orClosed(tenant)
      )

  /** What a call changes, at once, and how to wait for what comes of that. */
  type Call = (tenant: TenantId) => { readonly outcome: Effect.Effect<void, ActivationError> }

  const activate: Call = (tenant) => {
    removed.delete(tenant)
    const current = supervisors.intentOf(tenant)
    if (current?.want !== "active") {
      return { outcome: outcomeOf(tenant, supervisors.intend(tenant, "active"), 0) }
    }
    current.demanded = false
    supervisors.expect(tenant)
    const before = board.get(tenant)?.failures ?? 0
    // A tenant that waits out a pause is tried at once.
    signal.hurry(tenant)
    return { outcome: outcomeOf(tenant, current, before) }
  }

  const suspend: Call = (tenant) => {
    const current = supervisors.intentOf(tenant)
    // One that is being removed is as good as gone: only `activate` brings it back.
    if (current === undefined || current.want === "absent") return { outcome: unknown(tenant, "suspend") }
    const intent = current.want === "suspended" ? current : supervisors.intend(tenant, "suspended")
    return { outcome: orClosed(tenant)(Deferred.await(intent.settled)) }
  }

  const remove: Call = (tenant) => {
    remember(tenant)
    const current = supervisors.intentOf(tenant)
    // Reads of a tenant that was never activated may have opened a client all the same.
    if (current === undefined) return { outcome: Effect.andThen(store.release(tenant), unknown(tenant, "remove")) }
    const intent = current.want === "absent" ? current : supervisors.intend(tenant, "absent")
    return { outcome: orClosed(tenant)(Deferred.await(intent.settled)) }
  }

  const rotateCredentials: Call = (tenant) => {
    const current = supervisors.intentOf(tenant)
    const released = store.release(tenant)
    if (current === undefined) return { outcome: Effect.andThen(released, unknown(tenant, "rotateCredentials")) }
    if (current.want !== "active") return { outcome: released }
    const { demanded, prepared } = current
    const intent = supervisors.intend(tenant, "active", { demanded, prepared })
    return { outcome: Effect.andThen(released, outcomeOf(tenant, intent, 0)) }
  }

  const unknown = (tenant: TenantId, call: string) =>
    Effect.logDebug("Nothing to do for an unknown tenant").pipe(Effect.annotateLogs({ tenant, call }))

  const checked =
    (call: Call): ((tenant: string) => Effect.Effect<void, ActivationError>) =>
    (given) =>
      Option.match(Tenant.parse(given), {
        onNone: () => Effect.fail(ActivationError.ofInvalidId(given)),
        // Looked at when the call runs, which may be long after it was made.
        onSome: (tenant) =>
          enter(Effect.suspend(() => (closed.isOpen() ? failWith(tenant, new Closed()) : call(tenant).outcome)))
      })

  const awaitLive: Call = (tenant) => ({
    outcome: orClosed(tenant)(board.until(tenant, (status) => (status?.state === "live" ? Exit.void : undefined)))
  })

  const calls: Readonly<Record<TenantLifecycleEvent["_tag"], Call>> = {
    TenantActivated: activate,
    TenantSuspended: suspend,
    TenantDeleted: remove,
    TenantCredentialsRotated: rotateCredentials
  }

  const handle = (given: unknown): Effect.Effect<void, ActivationError> =>
    enter(
      Effect.suspend(() => {
        if (closed.isOpen()) return failWith(tenantNamed(given), new Closed())
        return Option.match(parseLifecycleEvent(given), {
          onNone: () => Effect.logDebug("Ignored an event that is not about a tenant of ours"),
          // The intent is recorded; what comes of it is waited for in the scope of the manager.
          onSome: ({ _tag, tenant }) => supervisors.inBackground(Effect.ignore(calls[_tag](tenant).outcome))
        })
      })
    )

  // The one detached fiber of the engine's own: a scope waits for its finalizers without a limit, and a peer may never
  // answer. So the scope of the manager is closed in the background, and each drain waits for that for a limited time.
  const closing = yield* Effect.cached(Effect.forkDetach(supervisors.close, { startImmediately: true }))
  /** Whether a drain has returned: closing the layer then waits no second time. */
  let drained = false

  const drain = Effect.fnUntraced(function* (timeout: Duration.Input): Effect.fn.Return<DrainReport> {
    const all = supervisors.all()
    const first = !closed.isOpen()
    board.closing()
    closed.openUnsafe()
    if (first && all.length > 0) {
      yield* Effect.logInfo("The plane of this process is drained, and follows no tenant any more").pipe(
        Effect.annotateLogs({ tenants: all.length })
      )
    }
    yield* Effect.timeoutOption(Effect.flatMap(closing, Fiber.await), timeout)
    drained = true
    const namesOf = (done: boolean) => all.filter(({ isDone }) => isDone() === done).map(({ tenant }) => tenant)
    const report: DrainReport = { finished: namesOf(true), unfinished: namesOf(false) }
    if (report.unfinished.length > 0) {
      yield* Effect.logWarning("Some tenants did not finish within the budget of the drain").pipe(
        Effect.annotateLogs({ tenants: report.unfinished })
      )
    }
    return report
  }, enter)

  yield* Effect.addFinalizer(() => (drained ? Effect.void : drain(options.drainTimeout)))

  /** A tenant that was never live says something of the process's health only if the application asked for it. */
  const isExpected = ({ state, tenant }: TenantStatus) => {
    if (state !== "activating") return true
    const intent = supervisors.intentOf(tenant)
    return intent?.want === "active" && !intent.demanded
  }

  return TenantManager.of({
    activate: checked(activate),
    suspend: checked(suspend),
    remove: checked(remove),
    rotateCredentials: checked(rotateCredentials),
    handle,
    demand: (tenant) =>
      Effect.map(limiter.missing(tenant), (missing) => {
        const wanted =
          missing === undefined &&
          supervisors.countDemanded() < mostDemanded &&
          options.activation === "onDemand" &&
          !closed.isOpen() &&
          supervisors.intentOf(tenant) === undefined &&
          !removed.has(tenant)
        if (wanted) supervisors.intend(tenant, "active", { demanded: true })
      }),
    status: (tenant) => Effect.sync(() => Option.flatMapNullishOr(Tenant.parse(tenant), board.get)),
    statuses: Effect.sync(board.all),
    health: Effect.sync(() => Health.make(board.all().filter(isExpected), closed.isOpen())),
    statusChanges: board.changes,
    awaitLive: checked(awaitLive),
    drain: (given) => Effect.suspend(() => drain(budgetOf(given) ?? options.drainTimeout)),
    isClosed: Effect.sync(() => closed.isOpen())
  })
})

export const layer = (options: SupervisedTenantManagerOptions) => Layer.effect(TenantManager, make(options))

const failWith = (tenant: string, reason: ActivationErrorReason) => Effect.fail(ActivationError.of(tenant, reason))

/** The budget that a caller gives a drain; `undefined` also for what is no duration, since a drain cannot fail. */
const budgetOf = (
  given: { readonly timeout?: Duration.Input | undefined } | undefined
): Duration.Duration | undefined => {
  try {
    return given?.timeout === undefined ? undefined : Duration.fromInputUnsafe(given.timeout)
  } catch {
    return undefined
  }
}

/** The tenant that an event names, for the message of an error. */
const tenantNamed = (event: unknown): string =>
  Option.match(parseLifecycleEvent(event), { onNone: () => "", onSome: ({ tenant }) => tenant })

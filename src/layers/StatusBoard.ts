/**
 * What is known of every tenant's state: one place to set it, read it, wait for it, and one log line per change of state.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type { TenantId } from "../schema/TenantId.ts"
import type { TenantStatus } from "../schema/TenantStatus.ts"
import { Telemetry } from "./Telemetry.ts"

export class StatusBoard extends Context.Service<
  StatusBoard,
  {
    readonly get: (tenant: TenantId) => TenantStatus | undefined
    readonly all: () => ReadonlyArray<TenantStatus>
    readonly update: (tenant: TenantId, change: Partial<Omit<TenantStatus, "tenant" | "since">>) => Effect.Effect<void>
    /** Announces the tenant as removed and forgets it. */
    readonly remove: (tenant: TenantId) => Effect.Effect<void>
    /** The next update of the tenant, whatever it is. */
    readonly next: (tenant: TenantId) => Effect.Effect<TenantStatus>
    /** Changes of state, not of details. */
    readonly changes: Stream.Stream<TenantStatus>
  }
>()("effect-systemplane/layers/StatusBoard") {}

const make = Effect.gen(function* () {
  const telemetry = yield* Telemetry
  const statuses = new Map<TenantId, TenantStatus>()
  const waiting = new Map<TenantId, Deferred.Deferred<TenantStatus>>()
  const changes = yield* Effect.acquireRelease(PubSub.sliding<TenantStatus>(1024), PubSub.shutdown)

  const announce = (status: TenantStatus, changed: boolean) =>
    Effect.gen(function* () {
      const waiters = waiting.get(status.tenant)
      waiting.delete(status.tenant)
      if (waiters !== undefined) Deferred.doneUnsafe(waiters, Effect.succeed(status))
      if (!changed) return
      yield* PubSub.publish(changes, status)
      yield* logChange(status)
    })

  return StatusBoard.of({
    get: (tenant) => statuses.get(tenant),
    all: () => [...statuses.values()],
    update: (tenant, change) =>
      Effect.flatMap(DateTime.now, (now) => {
        const before = statuses.get(tenant) ?? fresh(tenant, now)
        const changed = !statuses.has(tenant) || (change.state !== undefined && change.state !== before.state)
        const status = { ...before, ...change, since: changed ? now : before.since }
        statuses.set(tenant, status)
        telemetry.held(tenant, status.state !== "suspended")
        return announce(status, changed)
      }),
    remove: (tenant) =>
      Effect.flatMap(DateTime.now, (now) => {
        const before = statuses.get(tenant)
        statuses.delete(tenant)
        telemetry.released(tenant)
        return before === undefined ? Effect.void : announce({ ...before, state: "removed", since: now }, true)
      }),
    next: (tenant) =>
      Effect.suspend(() => {
        const deferred = waiting.get(tenant) ?? Deferred.makeUnsafe<TenantStatus>()
        waiting.set(tenant, deferred)
        return Deferred.await(deferred)
      }),
    changes: Stream.fromPubSub(changes)
  })
})

export const layer = Layer.effect(StatusBoard, make)

const fresh = (tenant: TenantId, now: DateTime.Utc): TenantStatus => ({
  tenant,
  state: "activating",
  since: now,
  failures: 0,
  lastError: undefined,
  confirmedAt: undefined,
  epoch: 0
})

const logChange = (status: TenantStatus) => {
  // A tenant that somebody suspends or rotates is disconnected too, and nothing is wrong with it.
  const wrong = (status.state === "disconnected" || status.state === "stale") && status.lastError !== undefined
  return (wrong ? Effect.logWarning : Effect.logInfo)(`Tenant is ${status.state}`).pipe(
    Effect.annotateLogs({
      tenant: status.tenant,
      state: status.state,
      failures: status.failures,
      ...(status.lastError === undefined ? {} : { cause: status.lastError.message })
    })
  )
}

/**
 * The lifecycle of tenants.
 *
 * Callers state what is to become of a tenant (activate, suspend, remove, rotate), and the manager works towards that
 * until it is so, or until they ask for something else. It tells in which state each tenant is. It reads and writes no
 * configuration: that is `Config`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { ActivationError } from "../schema/ActivationError.ts"
import type { Health } from "../schema/Health.ts"
import type { TenantId } from "../schema/TenantId.ts"
import type { TenantStatus } from "../schema/TenantStatus.ts"

/**
 * What came of a drain.
 *
 * @category models
 * @since 0.1.0
 */
export interface DrainReport {
  /** Tenants whose resources were released within the budget. */
  readonly finished: ReadonlyArray<TenantId>
  /** Tenants whose release goes on in the background. */
  readonly unfinished: ReadonlyArray<TenantId>
}

/**
 * Holds the desired state of each tenant, with one supervisor fiber per tenant that drives the actual state towards it.
 *
 * **Details**
 *
 * Calls are idempotent and may arrive in any order; the newest intent wins, also over an activation that is under way;
 * no call waits for another tenant. `suspend`, `remove` and `rotateCredentials` of an unknown tenant only log at debug
 * level. An activation that fails is tried again for ever, with the delays of `reconnect`, until the tenant is
 * suspended or removed or the manager drained. All fail with `ActivationError`; `InvalidTenantId` if the id is
 * malformed, `Closed` after a drain.
 *
 * **Example** (A tenant that comes and goes)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Config, TenantManager, withTenant } from "effect-systemplane"
 * import { SystemplaneMemory } from "effect-systemplane/testing"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const program = Effect.gen(function* () {
 *   const manager = yield* TenantManager
 *   yield* manager.activate("acme")
 *   console.log((yield* manager.health).status) // live
 *   yield* manager.suspend("acme")
 *   yield* Config.get(RequestsPerMinute).pipe(withTenant("acme")) // from the database
 *   const { unfinished } = yield* manager.drain({ timeout: "1 second" })
 *   console.log(unfinished) // []
 * })
 *
 * await program.pipe(Effect.provide(SystemplaneMemory({ keys: [RequestsPerMinute] })), Effect.runPromise)
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class TenantManager extends Context.Service<
  TenantManager,
  {
    /**
     * Makes the tenant live: its schema is brought up, its defaults seeded, its feed listening, its entries loaded.
     * Returns once it is live, or fails with the first error while the supervisor keeps trying.
     */
    readonly activate: (tenant: string) => Effect.Effect<void, ActivationError>
    /** Closes the feed and keeps the snapshot; reads go to the database. Returns once the session is released. */
    readonly suspend: (tenant: string) => Effect.Effect<void, ActivationError>
    /** Forgets everything about the tenant. Returns once its sessions are released. Only `activate` brings it back. */
    readonly remove: (tenant: string) => Effect.Effect<void, ActivationError>
    /**
     * Drops the pooled client and the session, and connects with what the connector resolves now. Reads are answered
     * all the while. Returns once the tenant is live again. A suspended tenant stays suspended. If the server vanished
     * without a word during a change of the schema, it takes 5 seconds more, after which the server frees the lock.
     */
    readonly rotateCredentials: (tenant: string) => Effect.Effect<void, ActivationError>
    /**
     * Does what an event of a tenant directory says, and returns once that is recorded: it never waits for a database,
     * so that a consumer of events is never held up by a tenant. What comes of it is in `status` and `statusChanges`.
     *
     * Takes a `TenantLifecycleEvent`, or an event as tenant-manager services publish it: `{ event_type:
     * "tenant.activated" | "tenant.suspended" | "tenant.deleted" | "tenant.credentials.rotated", tenant_id }`, as an
     * object or as JSON text. Everything else, whatever its shape, is ignored with a debug line. Fails with `Closed`
     * after a drain.
     *
     * ```ts
     * import { Effect } from "effect"
     * import { TenantManager } from "effect-systemplane"
     * import { SystemplaneMemory } from "effect-systemplane/testing"
     * import { RequestsPerMinute } from "./keys.ts"
     *
     * const onMessage = (message: string) => TenantManager.use((manager) => manager.handle(message))
     *
     * await onMessage(`{"event_type":"tenant.activated","tenant_id":"acme"}`).pipe(
     *   Effect.provide(SystemplaneMemory({ keys: [RequestsPerMinute] })),
     *   Effect.runPromise
     * )
     * ```
     */
    readonly handle: (event: unknown) => Effect.Effect<void, ActivationError>
    /**
     * A read met this tenant. If `activation` is `"onDemand"` and nothing was ever said about the tenant, it is
     * activated in the background; a first activation that fails `staleAfterFailures` times is abandoned until the next
     * read.
     */
    readonly demand: (tenant: TenantId) => Effect.Effect<void>
    /** `None` for a tenant that was never mentioned, or that was removed. */
    readonly status: (tenant: string) => Effect.Effect<Option.Option<TenantStatus>>
    readonly statuses: Effect.Effect<ReadonlyArray<TenantStatus>>
    /**
     * Whether this process is fit to serve, from what is known: it asks no database and never fails.
     *
     * For `/readyz` (may requests be sent here?): yes unless `status` is `down`. For `/healthz` (is the process worth
     * keeping?): always yes, since restarting it mends no database.
     */
    readonly health: Effect.Effect<Health>
    /** Each change of a tenant's state from now on. A reader more than 1,024 changes behind misses the oldest. */
    readonly statusChanges: Stream.Stream<TenantStatus>
    /** Returns once the tenant is live, whatever activated it; fails only with `InvalidTenantId` or `Closed`. */
    readonly awaitLive: (tenant: string) => Effect.Effect<void, ActivationError>
    /**
     * Closes the manager: interrupts all supervisors at once, and waits for at most `timeout` (default, and for what is
     * no duration: `drainTimeout`). With a timeout of zero it returns at once, and the release goes on in the
     * background. Idempotent: a second drain waits for what the first left.
     */
    readonly drain: (options?: { readonly timeout?: Duration.Input | undefined }) => Effect.Effect<DrainReport>
    readonly isClosed: Effect.Effect<boolean>
  }
>()("effect-systemplane/services/TenantManager") {}

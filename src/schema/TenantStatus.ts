/**
 * The state of a tenant, and what it means for reads.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { ActivationError } from "./ActivationError.ts"
import { TenantId } from "./TenantId.ts"

/**
 * Where a tenant stands.
 *
 * - `activating`: nothing was loaded yet; reads go to the database
 * - `live`: the feed is up and the snapshot is current
 * - `disconnected`: the feed is down for a short while; reads are answered from the snapshot and marked stale
 * - `stale`: the feed failed too often, or nothing confirmed the snapshot within the bound; reads go to the database
 * - `suspended`: somebody suspended it, or the plane was drained; the snapshot is kept, reads go to the database
 * - `removed`: only in the stream of changes: nothing is kept
 *
 * @category models
 * @since 0.1.0
 */
export type TenantState = typeof TenantState.Type

/**
 * The schema of {@link TenantState}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantState = Schema.Literals(["activating", "live", "disconnected", "stale", "suspended", "removed"])

/**
 * A tenant's state with what led to it.
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantStatus {
  readonly tenant: TenantId
  readonly state: TenantState
  /** When the state was entered, by this process's clock. */
  readonly since: DateTime.Utc
  /** Consecutive failed attempts to become live; 0 once live. */
  readonly failures: number
  /** The last failure since the tenant was last live. */
  readonly lastError: ActivationError | undefined
  /** When the database last confirmed the whole snapshot, as of when the status was asked for or announced. */
  readonly confirmedAt: DateTime.Utc | undefined
  /** How often the table was found to have gone back: a restored backup, a fail-over that lost commits. */
  readonly epoch: number
}

/**
 * What sends statuses over a wire needs of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantStatus = {
  /** The encoded side is JSON; a field that is `undefined` is left out. It tells of failures: it is for operators. */
  schema: Schema.Struct({
    tenant: TenantId,
    state: TenantState,
    since: Schema.DateTimeUtcFromString,
    failures: Schema.Int,
    lastError: Schema.optional(ActivationError),
    confirmedAt: Schema.optional(Schema.DateTimeUtcFromString),
    epoch: Schema.Int
  }) as any as Schema.Codec<TenantStatus, any>
}

/** What is known of a tenant's condition to its database. */
export interface Condition {
  readonly suspended: boolean
  /** A whole read was learned since the tenant was activated. */
  readonly loaded: boolean
  /** The feed is up and the snapshot was reconciled since. */
  readonly connected: boolean
  readonly failures: number
  /** Nothing confirmed the snapshot for longer than `maxStaleness`. */
  readonly overdue: boolean
}

/**
 * The state that a condition amounts to.
 *
 * @since 0.1.0
 */
export const stateOf = (condition: Condition, staleAfterFailures: number): Exclude<TenantState, "removed"> => {
  if (condition.suspended) return "suspended"
  if (!condition.loaded) return "activating"
  if (condition.overdue) return "stale"
  if (condition.connected) return "live"
  return condition.failures < staleAfterFailures ? "disconnected" : "stale"
}

/**
 * Whether a tenant in this state may be answered from its snapshot; otherwise reads go to the database.
 *
 * @since 0.1.0
 */
export const readsSnapshot = (state: TenantState): boolean => state === "live" || state === "disconnected"

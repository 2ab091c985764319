/**
 * The state of a tenant, and what it means for reads.
 *
 * A state follows from a condition: whether something was loaded, whether the feed is connected, how often it failed,
 * whether its answers are overdue. The rules are pure. What changes the condition is in the cache (`FeedFollower`), and
 * `StatusBoard` tells of each new state.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { ActivationError } from "./ActivationError.ts"
import { TenantId } from "./TenantId.ts"

/**
 * The state of a tenant in this process.
 *
 * - `activating`: nothing was loaded yet; reads go to the database
 * - `live`: the feed is up and the snapshot is current
 * - `disconnected`: the feed is down for a short time; reads are answered from the snapshot and marked stale
 * - `stale`: the feed failed too often, or the snapshot was not confirmed within the bound; reads go to the database
 * - `suspended`: an operator suspended it, or the plane was drained; the snapshot is kept, reads go to the database
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
  /**
   * How many declared keys have a newest row that does not decode, so that an older value, or the default, is in force.
   */
  readonly rejected: number
  /**
   * How many entries are stored under names that no application declares, mostly slips; counted when the tenant is
   * activated. What they are called is in `KeyCatalog.read`.
   */
  readonly undeclared: number
  /**
   * What an operator should mend in the tenant's database, each with what mends it. The tenant is served all the same.
   */
  readonly warnings: ReadonlyArray<string>
}

/**
 * The wire format of a status.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantStatus = {
  /** The encoded side is JSON; a field that is `undefined` is left out. It names failures: it is for operators. */
  schema: Schema.Struct({
    tenant: TenantId,
    state: TenantState,
    since: Schema.DateTimeUtcFromString,
    failures: Schema.Int,
    lastError: Schema.optional(ActivationError),
    confirmedAt: Schema.optional(Schema.DateTimeUtcFromString),
    epoch: Schema.Int,
    rejected: Schema.Int,
    undeclared: Schema.Int,
    warnings: Schema.Array(Schema.String)
  }) as any as Schema.Codec<TenantStatus, any>
}

/** What is known of a tenant's feed and snapshot. */
export interface Condition {
  readonly suspended: boolean
  /** A whole read was applied since the tenant was activated. */
  readonly loaded: boolean
  /** The feed is up and the snapshot was reconciled since. */
  readonly connected: boolean
  readonly failures: number
  /** The snapshot was not confirmed for longer than `maxStaleness`. */
  readonly overdue: boolean
}

/**
 * Derives the state from a condition.
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

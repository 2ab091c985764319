/**
 * Whether a process is fit to serve, and each of its tenants.
 *
 * @since 0.1.0
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { TenantId } from "./TenantId.ts"
import { TenantState, type TenantStatus } from "./TenantStatus.ts"

/**
 * How well reads are answered.
 *
 * - `live`: from memory, and current
 * - `degraded`: from memory while the feed is down for a short while, or from the database
 * - `down`: they go to the database, and the last attempt to reach it failed
 *
 * @category models
 * @since 0.1.0
 */
export type HealthStatus = "live" | "degraded" | "down"

/**
 * The health of a tenant, with what led to it.
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantHealth {
  readonly tenant: TenantId
  readonly status: HealthStatus
  readonly state: TenantState
  /** When the state was entered, by this process's clock. */
  readonly since: DateTime.Utc
  /** What failed last, where anything has failed since the tenant was last live. Holds no value and no credential. */
  readonly cause: string | undefined
  /** When the database last confirmed the whole snapshot. */
  readonly confirmedAt: DateTime.Utc | undefined
}

/**
 * The health of the plane in this process. TenantLimiter into JSON as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Health {
  /**
   * `live` where all tenants are, or there are none; `down` where all tenants are, or the plane was drained; else `degraded`.
   * One tenant's dead database is no reason to take the process away from all others.
   */
  readonly status: HealthStatus
  /** Whether the plane was drained. */
  readonly closed: boolean
  /** All tenants but those that were suspended, which nobody expects to be live. */
  readonly tenants: ReadonlyArray<TenantHealth>
}

/**
 * What sends the health of a process over a wire needs of it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Health = {
  /** The encoded side is JSON; a field that is `undefined` is left out. It names tenants and causes: it is for operators. */
  schema: Schema.Struct({
    status: Schema.Literals(["live", "degraded", "down"]),
    closed: Schema.Boolean,
    tenants: Schema.Array(
      Schema.Struct({
        tenant: TenantId,
        status: Schema.Literals(["live", "degraded", "down"]),
        state: TenantState,
        since: Schema.DateTimeUtcFromString,
        cause: Schema.optional(Schema.String),
        confirmedAt: Schema.optional(Schema.DateTimeUtcFromString)
      })
    )
  }) as any as Schema.Codec<Health, any>
}

/**
 * What the states of the tenants amount to.
 *
 * @since 0.1.0
 */
export const make = (statuses: ReadonlyArray<TenantStatus>, closed: boolean): Health => {
  const tenants = statuses.filter(({ state }) => state !== "suspended" && state !== "removed").map(ofTenant)
  const all = (status: HealthStatus) => tenants.every((tenant) => tenant.status === status)
  return { status: closed ? "down" : all("live") ? "live" : all("down") ? "down" : "degraded", closed, tenants }
}

const ofTenant = ({ confirmedAt, lastError, since, state, tenant }: TenantStatus): TenantHealth => ({
  tenant,
  status: statusOf(state, lastError !== undefined),
  state,
  since,
  cause: lastError?.message,
  confirmedAt
})

const statusOf = (state: TenantState, failed: boolean): HealthStatus => {
  switch (state) {
    case "live":
      return "live"
    case "disconnected":
      return "degraded"
    default:
      return failed ? "down" : "degraded"
  }
}

/**
 * The health of a process and of each of its tenants: how well reads are answered.
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
 * - `degraded`: from memory while the feed is down for a short time, or from the database
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
  /** The last failure since the tenant was last live. It holds no value and no credential. */
  readonly cause: string | undefined
  /** When the database last confirmed the whole snapshot. */
  readonly confirmedAt: DateTime.Utc | undefined
}

/**
 * What an operator should mend in a tenant's database.
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantWarnings {
  readonly tenant: TenantId
  readonly warnings: ReadonlyArray<string>
}

/**
 * How many rows of a tenant are rejected: `Config.list` names them, by `Entry.rejected`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantRejections {
  readonly tenant: TenantId
  readonly rows: number
}

/**
 * The health of the plane in this process. It can be turned into JSON as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Health {
  /**
   * `live` if all tenants are, or there are none; `down` if all tenants are, or the plane was drained; else `degraded`.
   * One tenant's dead database is no reason to take the process away from all others.
   */
  readonly status: HealthStatus
  /** Whether the plane was drained. */
  readonly closed: boolean
  /** How many tenants are in each status. Suspended ones are not counted: they are not expected to be live. */
  readonly counts: Readonly<Record<HealthStatus, number>>
  /** The tenants that are not live, at most 100: those that are down first. */
  readonly tenants: ReadonlyArray<TenantHealth>
  /** What should be mended in the databases of tenants, live ones too; at most 100 tenants. */
  readonly warnings: ReadonlyArray<TenantWarnings>
  /** The tenants with rows that do not decode, live ones too; at most 100, those with the most rows first. */
  readonly rejected: ReadonlyArray<TenantRejections>
}

/**
 * The wire format of a process's health.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Health = {
  /**
   * The encoded side is JSON; a field that is `undefined` is left out. It names tenants and causes: it is for
   * operators.
   */
  schema: Schema.Struct({
    status: Schema.Literals(["live", "degraded", "down"]),
    closed: Schema.Boolean,
    counts: Schema.Struct({ live: Schema.Int, degraded: Schema.Int, down: Schema.Int }),
    tenants: Schema.Array(
      Schema.Struct({
        tenant: TenantId,
        status: Schema.Literals(["live", "degraded", "down"]),
        state: TenantState,
        since: Schema.DateTimeUtcFromString,
        cause: Schema.optional(Schema.String),
        confirmedAt: Schema.optional(Schema.DateTimeUtcFromString)
      })
    ),
    warnings: Schema.Array(Schema.Struct({ tenant: TenantId, warnings: Schema.Array(Schema.String) })),
    rejected: Schema.Array(Schema.Struct({ tenant: TenantId, rows: Schema.Int }))
  }) as any as Schema.Codec<Health, any>
}

/**
 * Derives the health from the statuses of all tenants.
 *
 * @since 0.1.0
 */
export const make = (statuses: ReadonlyArray<TenantStatus>, closed: boolean): Health => {
  const tenants = statuses.filter(({ state }) => state !== "suspended" && state !== "removed").map(ofTenant)
  const of = (status: HealthStatus) => tenants.filter((tenant) => tenant.status === status)
  const [live, degraded, down] = [of("live"), of("degraded"), of("down")]
  const all = (some: ReadonlyArray<TenantHealth>) => some.length === tenants.length
  return {
    status: closed ? "down" : all(live) ? "live" : all(down) ? "down" : "degraded",
    closed,
    counts: { live: live.length, degraded: degraded.length, down: down.length },
    tenants: [...down, ...degraded].slice(0, mostTenants),
    warnings: statuses
      .filter(({ warnings }) => warnings.length > 0)
      .slice(0, mostTenants)
      .map(({ tenant, warnings }) => ({ tenant, warnings })),
    rejected: statuses
      .filter(({ rejected }) => rejected > 0)
      .map(({ rejected, tenant }) => ({ tenant, rows: rejected }))
      .sort((a, b) => b.rows - a.rows)
      .slice(0, mostTenants)
  }
}

/** A probe reads the health every few seconds: 100 tenants are some 20 kB, whatever the number of tenants is. */
const mostTenants = 100

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

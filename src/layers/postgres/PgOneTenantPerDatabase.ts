/**
 * A database belongs to one tenant only. Each client and session that is opened for a tenant claims the database that it leads to.
 *
 * ```
 *   a tenant opens a client or a session ──▶ which database is it? ──▶ another tenant's: refused
 *                                                        └──▶ not that of the tenant's other session or client: refused
 * ```
 *
 * A claim is on a system identifier and a database in it, so that it outlasts a restart of the server. Clones of one backup share both. They
 * are told apart by the start of their servers, and only while a session of the other tenant is open: then its server runs, hence a server
 * with another start is another one. A tenant keeps its claim from its first session until it is released. A tenant that never had one, such
 * as one that only a late read asked for, keeps it as long as its client is open.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { ConnectorError, DatabaseShared, DatabasesDiffer } from "../../schema/ConnectorError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import { statementTimeout } from "../runtime/Timeouts.ts"
import * as PgFailure from "./connection/PgFailure.ts"

/**
 * Which database a session reaches. By functions alone: a new session would first have to learn what a catalog table looks like. Every role
 * may run them. Exported so that tests recognise it by identity.
 */
export const identify =
  "SELECT system_identifier::text AS system, current_database() AS database," +
  " date_part('epoch', pg_postmaster_start_time()) AS started FROM pg_control_system()"

const Identity = Schema.Struct({ system: Schema.String, started: Schema.Finite, database: Schema.String })
const decodeIdentity = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Identity))

const identityOf = (tenant: TenantId, query: Query) =>
  query(identify).pipe(
    Effect.mapError((error) => PgFailure.connectFailure(tenant, error)),
    Effect.flatMap((rows) => Effect.mapError(decodeIdentity(rows), () => PgFailure.notConnected(tenant))),
    Effect.timeoutOrElse({
      duration: statementTimeout,
      orElse: () => Effect.fail(PgFailure.notConnected(tenant, "ETIMEDOUT"))
    }),
    Effect.map(([{ database, started, system }]) => ({ database: `${system}/${database}`, started }))
  )

/** What claims a database: the pooled client of a tenant, or a session that listens. */
export type Kind = "client" | "session"

/** The claim of one tenant. */
interface Claim {
  readonly database: string
  /** What is open on it. For a session the start of its server. */
  readonly open: Set<{ readonly kind: Kind; readonly started: number }>
  /** Whether it outlasts what is open: from the first session until the tenant is released. */
  kept: boolean
}

export const make = () => {
  const claims = new Map<TenantId, Claim>()
  const tenants = new Map<string, Set<TenantId>>()

  const drop = (tenant: TenantId, claim: Claim): void => {
    if (claims.get(tenant) !== claim) return
    claims.delete(tenant)
    const others = tenants.get(claim.database)
    others?.delete(tenant)
    if (others?.size === 0) tenants.delete(claim.database)
  }

  const dropUnused = (tenant: TenantId, claim: Claim): void => {
    if (claim.open.size === 0 && !claim.kept) drop(tenant, claim)
  }

  /** The other tenant whose database this is. */
  const holderOf = (tenant: TenantId, database: string, started: number): TenantId | undefined =>
    [...(tenants.get(database) ?? [])].find((other) => {
      const isElsewhere = [...claims.get(other)!.open].some((one) => one.kind === "session" && one.started !== started)
      return other !== tenant && !isElsewhere
    })

  /** The tenant's claim on this database, in the place of an earlier one on another. */
  const claimOf = (tenant: TenantId, database: string): Claim => {
    const known = claims.get(tenant)
    if (known?.database === database) return known
    if (known !== undefined) drop(tenant, known)
    const claim: Claim = { database, open: new Set(), kept: false }
    claims.set(tenant, claim)
    tenants.set(database, (tenants.get(database) ?? new Set()).add(tenant))
    return claim
  }

  const add = (tenant: TenantId, database: string, one: { readonly kind: Kind; readonly started: number }) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const claim = claimOf(tenant, database)
        claim.open.add(one)
        if (one.kind === "session") claim.kept = true
        return claim
      }),
      (claim) =>
        Effect.sync(() => {
          claim.open.delete(one)
          dropUnused(tenant, claim)
        })
    )

  return {
    /** The claim ends with what is open on it. */
    release: (tenant: TenantId): void => {
      const claim = claims.get(tenant)
      if (claim === undefined) return
      claim.kept = false
      dropUnused(tenant, claim)
    },
    /**
     * Claims the database that a query reaches, as long as the scope. Fails with `DatabaseShared` if it is another tenant's, and with
     * `DatabasesDiffer` if the tenant's client and its session lead to two databases.
     */
    claim: (tenant: TenantId, query: Query, kind: Kind): Effect.Effect<void, ConnectorError, Scope.Scope> =>
      Effect.flatMap(identityOf(tenant, query), ({ database, started }) => {
        const other = holderOf(tenant, database, started)
        if (other !== undefined) return Effect.fail(ConnectorError.of(tenant, new DatabaseShared({ other })))
        const own = claims.get(tenant)
        if (own !== undefined && own.database !== database && [...own.open].some((one) => one.kind !== kind)) {
          return Effect.fail(ConnectorError.of(tenant, new DatabasesDiffer()))
        }
        return Effect.asVoid(add(tenant, database, { kind, started }))
      })
  }
}

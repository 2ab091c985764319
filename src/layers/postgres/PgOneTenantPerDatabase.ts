/**
 * A database belongs to one tenant only. Each client and session that is opened for a tenant claims the database that
 * it leads to.
 *
 * ```
 *   a tenant opens a client or a session ──▶ which database is it? ──▶ another tenant's: refused
 *                                                        └──▶ not that of the tenant's other session or client: refused
 * ```
 *
 * A claim is on a system identifier and a database in it, so that it outlasts a restart of the server. Clones of one
 * backup share both, and so do a primary and the standby that took its place. They are told apart by the start of their
 * servers, and what is open says so itself: if two starts differ, the one that was opened before is asked again. Its
 * answer proves that its server still runs, hence is another one; no answer proves nothing, since the server may have
 * been restarted. A tenant keeps its claim from its first session until it is released. A tenant that never had one,
 * such as one that only a late read asked for, keeps it as long as its client is open.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { ConnectorError, DatabaseShared, DatabasesDiffer } from "../../schema/ConnectorError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import { statementTimeout } from "../runtime/Timeouts.ts"
import * as PgFailure from "./connection/PgFailure.ts"

const identifyBy = (system: string, from: string): string =>
  `SELECT ${system} AS system, (pg_get_object_address('database', ARRAY[current_database()::text], '{}')).objid::text AS database,` +
  ` date_part('epoch', pg_postmaster_start_time()) AS started${from}`

/**
 * Which database a session reaches. By functions alone: a new session would first have to learn what a catalog table
 * looks like. Every role may run them by default. Exported so that tests recognise it by identity.
 */
export const identify = identifyBy("system_identifier::text", " FROM pg_control_system()")

/**
 * Where an administrator took the right to run that function from the role, a claim ends with a restart of the server.
 */
const identifyWithoutControl = identifyBy("'started ' || pg_postmaster_start_time()::text", "")

const Identity = Schema.Struct({ system: Schema.String, started: Schema.Finite, database: Schema.String })
const decodeIdentity = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Identity))

const identityOf = (tenant: TenantId, query: Query) =>
  query(identify).pipe(
    Effect.catchIf(
      (error) => PgFailure.codeOf(error).code === "42501" && error.reason.operation !== "connect",
      () => query(identifyWithoutControl)
    ),
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

/** A client or a session. */
interface Open {
  readonly kind: Kind
  readonly query: Query
  /** When its server was started, as it said last. */
  started: number
}

/** The claim of one tenant. */
interface Claim {
  readonly database: string
  readonly open: Set<Open>
  /** Whether it outlasts what is open: from the first session until the tenant is released. */
  kept: boolean
  /** Whether a client has reached this database. */
  reachedByClient: boolean
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

  const holdersOf = (database: string) => [...(tenants.get(database) ?? [])]

  /** Whether what is open still reaches a server, and that is not this one. It is asked only if it said so before. */
  const isElsewhere = (tenant: TenantId, one: Open, database: string, started: number): Effect.Effect<boolean> =>
    claims.get(tenant)?.database === database && one.started === started
      ? Effect.succeed(false)
      : identityOf(tenant, one.query).pipe(
          Effect.map((now) => {
            one.started = now.started
            return now.database !== database || now.started !== started
          }),
          Effect.orElseSucceed(() => false)
        )

  /** Whether something that the tenant has open is elsewhere; of another kind than this, if one is given. */
  const someElsewhere = Effect.fnUntraced(function* (tenant: TenantId, database: string, started: number, kind?: Kind) {
    for (const one of [...(claims.get(tenant)?.open ?? [])]) {
      if (one.kind !== kind && (yield* isElsewhere(tenant, one, database, started))) return true
    }
    return false
  })

  /** The tenant's claim on this database, in the place of an earlier one on another. */
  const claimOf = (tenant: TenantId, database: string): Claim => {
    const known = claims.get(tenant)
    if (known?.database === database) return known
    if (known !== undefined) drop(tenant, known)
    const claim: Claim = { database, open: new Set(), kept: false, reachedByClient: false }
    claims.set(tenant, claim)
    tenants.set(database, (tenants.get(database) ?? new Set()).add(tenant))
    return claim
  }

  /** Whether a tenant holds the database that was not seen to be elsewhere. */
  const sharedBy = (tenant: TenantId, database: string, elsewhere: ReadonlySet<TenantId>) => {
    const other = holdersOf(database).find((other) => other !== tenant && !elsewhere.has(other))
    return other === undefined ? undefined : ConnectorError.of(tenant, new DatabaseShared({ other }))
  }

  /** Adds what is open to the tenant's claim. Another tenant may hold the database since it was looked for. */
  const add = (tenant: TenantId, database: string, one: Open, elsewhere: ReadonlySet<TenantId>) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        const shared = sharedBy(tenant, database, elsewhere)
        if (shared !== undefined) return Effect.fail(shared)
        const claim = claimOf(tenant, database)
        claim.open.add(one)
        if (one.kind === "session") claim.kept = true
        else claim.reachedByClient = true
        return Effect.succeed(claim)
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
    /** Whether a client of the tenant has reached the database that the tenant claims. */
    reachedByClient: (tenant: TenantId): boolean => claims.get(tenant)?.reachedByClient === true,
    /**
     * Claims the database that a query reaches, as long as the scope. Fails with `DatabaseShared` if it is another
     * tenant's, and with `DatabasesDiffer` if the tenant's client and its session lead to two databases.
     */
    claim: Effect.fnUntraced(function* (
      tenant: TenantId,
      query: Query,
      kind: Kind
    ): Effect.fn.Return<void, ConnectorError, Scope.Scope> {
      const { database, started } = yield* identityOf(tenant, query)
      const elsewhere = new Set<TenantId>()
      for (const other of holdersOf(database)) {
        if (other !== tenant && (yield* someElsewhere(other, database, started))) elsewhere.add(other)
      }
      const shared = sharedBy(tenant, database, elsewhere)
      if (shared !== undefined) return yield* shared
      if (yield* someElsewhere(tenant, database, started, kind)) {
        return yield* ConnectorError.of(tenant, new DatabasesDiffer())
      }
      yield* add(tenant, database, { kind, query, started }, elsewhere)
    })
  }
}

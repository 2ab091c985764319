/**
 * Sessions for feeds. One may be opened ahead, for the statements that prepare a tenant: its feed takes it up then, and
 * bringing a tenant up takes one connection.
 *
 * Opening one claims the database that it leads to (PgOneTenantPerDatabase), and fails if the tenant's statements reach
 * another one.
 */
import * as Effect from "effect/Effect"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { ConnectorError } from "../../schema/ConnectorError.ts"
import type { EntryStoreError } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { Connector, type ListenSession, type Query } from "../../services/Connector.ts"
import { ConnectLimiter } from "../runtime/ConnectLimiter.ts"
import { aheadTimeToLive } from "../runtime/Timeouts.ts"
import * as PgFailure from "./connection/PgFailure.ts"
import type { PgDeadlines } from "./PgDeadlines.ts"
import { resourceOf } from "./PgTenantClients.ts"

/** What sessions need of the clients of the same tenants. */
export interface Clients {
  /** Whether a client has claimed the tenant's database. */
  readonly haveClaimed: (tenant: TenantId) => boolean
  readonly opened: (tenant: TenantId) => Effect.Effect<unknown, ConnectorError, Scope.Scope>
  readonly leave: (tenant: TenantId) => Effect.Effect<void>
}

/** `open` opens a session for a tenant, on a database that is the tenant's alone. */
export const make = Effect.fnUntraced(function* (
  open: (tenant: TenantId) => Effect.Effect<ListenSession, ConnectorError, Scope.Scope>,
  clients: Clients,
  { bounded, opened }: PgDeadlines
) {
  const connector = yield* Connector
  const limiter = yield* ConnectLimiter

  const openSession = (tenant: TenantId) =>
    limiter.session(tenant, open(tenant)).pipe(
      Effect.tap(reachesTheSame(tenant)),
      // A client may be what is left of an earlier address, or have reached another tenant's database anew as the
      // session did: the next statement opens a new one, which claims.
      Effect.tapError(({ reason }) =>
        reason._tag === "DatabasesDiffer" || reason._tag === "DatabaseShared" ? clients.leave(tenant) : Effect.void
      )
    )

  /**
   * If statements have an address of their own, a client is opened as well: its claim fails if it reaches another
   * database. Once is enough, since each client that is opened later claims as well: a pooler that is down must not
   * keep the feed from coming back.
   */
  const reachesTheSame = (tenant: TenantId) =>
    connector.interchangeable === undefined || clients.haveClaimed(tenant)
      ? Effect.void
      : Effect.flatMap(mayOpenAhead(tenant), (interchangeable) =>
          interchangeable ? Effect.void : Effect.scoped(Effect.asVoid(clients.opened(tenant)))
        )

  const sessions = yield* RcMap.make({ lookup: openSession, idleTimeToLive: aheadTimeToLive })

  const mayOpenAhead = (tenant: TenantId) => {
    const { interchangeable } = connector
    return interchangeable === undefined ? Effect.succeed(false) : opened(tenant, () => interchangeable(tenant))
  }

  /** Fails at once if the tenant was found missing, before the connector is asked for it again. */
  const unlessMissing = (tenant: TenantId) =>
    Effect.flatMap(limiter.missing(tenant), (error) => (error === undefined ? Effect.void : Effect.fail(error)))

  const ahead = (tenant: TenantId) => resourceOf(sessions, tenant)

  const onSession = <A>(tenant: TenantId, statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>) =>
    ahead(tenant).pipe(
      // A tenant that waits for a turn to connect keeps its place: the time for the statement begins after that.
      Effect.flatMap((session) => bounded(tenant, PgFailure.translated(tenant)(statement(session.query)))),
      Effect.scoped,
      // No pool stands behind a session: one that did not answer, or was abandoned, is of no use to the feed.
      Effect.onError(() => RcMap.invalidate(sessions, tenant))
    )

  /** As `runAhead` of PgDatabases. */
  const runAhead = <A>(
    tenant: TenantId,
    statement: (query: Query) => Effect.Effect<A, SqlError | EntryStoreError>,
    onItsClient: Effect.Effect<A, EntryStoreError>
  ): Effect.Effect<A, EntryStoreError> =>
    unlessMissing(tenant).pipe(
      Effect.andThen(RcMap.has(sessions, tenant)),
      Effect.flatMap((there) => (there ? Effect.succeed(true) : mayOpenAhead(tenant))),
      Effect.flatMap((isAhead) => (isAhead ? onSession(tenant, statement) : onItsClient)),
      // A server that lets no session listen can be prepared, and read, all the same.
      Effect.catchIf(isListenFailure, () => onItsClient),
      PgFailure.translated(tenant)
    )

  // What one feed has taken up, no other finds.
  const takeUp = (tenant: TenantId) => Effect.tap(ahead(tenant), () => RcMap.invalidate(sessions, tenant))

  return {
    runAhead,
    /** A session for a feed: the one that was opened ahead, if there is one. */
    session: (tenant: TenantId): Effect.Effect<ListenSession, ConnectorError, Scope.Scope> =>
      Effect.flatMap(RcMap.has(sessions, tenant), (there) => (there ? takeUp(tenant) : openSession(tenant))),
    /** Closes a session that was opened ahead and that no feed has taken up. */
    abandonAhead: (tenant: TenantId): Effect.Effect<void> => RcMap.invalidate(sessions, tenant)
  }
})

const isListenFailure = (error: ConnectorError | EntryStoreError): boolean =>
  error._tag === "ConnectorError" && error.reason._tag === "ListenFailed"

/**
 * A database belongs to one tenant only: whoever opens a client or a session of a tenant claims the database it leads to, until
 * the tenant is released.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ConnectorError, DatabaseShared } from "../../schema/ConnectorError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { Query } from "../../services/Connector.ts"
import { statementTimeout } from "../runtime/Timeouts.ts"
import * as PgFailure from "./PgFailure.ts"

/**
 * A running server and a database in it. Two servers cannot share the microsecond of their start and still be told apart
 * only by it, not even clones of one backup, which do share the system identifier. By functions alone, since a new session
 * would first have to learn what a catalogue table looks like.
 */
export const identify =
  "SELECT date_part('epoch', pg_postmaster_start_time()) AS started, current_database() AS database"

const Identity = Schema.Struct({ started: Schema.Finite, database: Schema.String })
const decodeIdentity = Schema.decodeUnknownEffect(Schema.NonEmptyArray(Identity))

const identityOf = (tenant: TenantId, query: Query): Effect.Effect<string, ConnectorError> =>
  query(identify).pipe(
    Effect.mapError((error) => PgFailure.connectFailure(tenant, error)),
    Effect.flatMap((rows) => Effect.mapError(decodeIdentity(rows), () => PgFailure.notConnected(tenant))),
    Effect.timeoutOrElse({
      duration: statementTimeout,
      orElse: () => Effect.fail(PgFailure.notConnected(tenant, "ETIMEDOUT"))
    }),
    Effect.map(([{ database, started }]) => `${started}/${database}`)
  )

export const make = () => {
  const holders = new Map<string, TenantId>()
  const held = new Map<TenantId, string>()

  const release = (tenant: TenantId): void => {
    const identity = held.get(tenant)
    if (identity === undefined) return
    held.delete(tenant)
    holders.delete(identity)
  }

  return {
    release,
    /**
     * Claims the database that a query reaches. A tenant holds one: after a restart of the server it is another, which takes the
     * place of the former. Fails with `DatabaseShared` where another tenant holds it.
     */
    claim: (tenant: TenantId, query: Query): Effect.Effect<void, ConnectorError> =>
      Effect.flatMap(identityOf(tenant, query), (identity) => {
        const holder = holders.get(identity) ?? tenant
        if (holder !== tenant) {
          return Effect.fail(ConnectorError.of(tenant, new DatabaseShared({ other: holder })))
        }
        release(tenant)
        holders.set(identity, tenant)
        held.set(tenant, identity)
        return Effect.void
      })
  }
}

/**
 * Connections from a tenant to its PostgreSQL.
 *
 * A connector knows which database is a tenant's, and opens two kinds of connection to it: a client for statements, and
 * a session that listens. It knows nothing of entries. When to connect, how often to try again and how long to wait is
 * decided by those who use it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { ConnectorError } from "../schema/ConnectorError.ts"
import type { TenantId } from "../schema/TenantId.ts"

/**
 * Runs one statement and returns its rows, `jsonb` parsed, `int8` as `bigint`, `timestamptz` as `Date`.
 *
 * @category models
 * @since 0.1.0
 */
export type Query = (sql: string, params?: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<unknown>, SqlError>

/**
 * Runs one statement as `Query` does, and hands its rows over as they arrive: some at a time, in order, and each
 * exactly once.
 *
 * **Details**
 *
 * If it fails, the rows that it handed over before are void. It never repeats the statement by itself, since rows would
 * then be handed over twice.
 *
 * @category models
 * @since 0.1.0
 */
export type QueryEach = (
  sql: string,
  params: ReadonlyArray<unknown>,
  take: (rows: ReadonlyArray<unknown>) => void
) => Effect.Effect<void, SqlError>

/**
 * A dedicated session that listens, and on which short statements may run: notifications wait behind them.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListenSession {
  /**
   * Interrupting a statement abandons the session: its peer may never answer, and no caller should wait to find out.
   */
  readonly query: Query
  /**
   * For reads of all rows: a first load, and one that a digest requires. Rows are then decoded while the server still
   * reads the others. Interrupting it abandons the session, as with `query`. Without it all rows are taken at once.
   */
  readonly queryEach?: QueryEach | undefined
  /** Waits for a payload and takes all that have arrived, in the order of commit. Fails once the session has ended. */
  readonly payloads: Effect.Effect<ReadonlyArray<string>, ConnectorError>
  /** Abandons the session at once, without a word to the peer. Idempotent. */
  readonly abandon: Effect.Effect<void>
  /**
   * The key of the shared advisory lock that the session holds as long as it lives, for others to see in `pg_locks`.
   * Absent if it holds none: it listens all the same.
   */
  readonly presence?: string | undefined
}

/**
 * Resolves a tenant to its PostgreSQL.
 *
 * **Details**
 *
 * Both methods resolve the tenant anew each time they run, so that the next connection uses a rotated secret. What they
 * return lives as long as the scope. They can be interrupted, and closing the scope never waits for a peer that does
 * not answer: `suspend`, `remove` and `rotateCredentials` wait for both. They fail with `ConnectorError`, which names
 * the tenant and the step and shows no credential.
 *
 * This is the seam for tests: a scripted connector drives the feed under `TestClock`.
 *
 * @category services
 * @since 0.1.0
 */
export class Connector extends Context.Service<
  Connector,
  {
    /** The one tenant of a single-tenant application, which then needs no `withTenant`. */
    readonly sole: Option.Option<TenantId>
    /**
     * A pooled client for statements. It may be one that the application uses too: what the plane does runs outside of
     * the transactions of its callers.
     */
    readonly client: (tenant: TenantId) => Effect.Effect<SqlClient.SqlClient, ConnectorError, Scope.Scope>
    /** A dedicated session that listens on `systemplane_changes`; `LISTEN` is confirmed when it is returned. */
    readonly session: (tenant: TenantId) => Effect.Effect<ListenSession, ConnectorError, Scope.Scope>
    /**
     * Whether the tenant's sessions and clients lead to the same server as the same role, so that any statement may run
     * on either: activation then takes one connection. Without this method they are taken to differ.
     */
    readonly interchangeable?: ((tenant: TenantId) => Effect.Effect<boolean, ConnectorError>) | undefined
  }
>()("effect-systemplane/services/Connector") {}

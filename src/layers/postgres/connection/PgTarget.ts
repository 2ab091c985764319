/**
 * What a tenant resolves to: where its database is, and how to connect to it.
 *
 * @since 0.1.0
 */
import type { ConnectionOptions } from "node:tls"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"

/**
 * The database of a tenant.
 *
 * @category models
 * @since 0.1.0
 */
export interface PgTarget {
  /**
   * A libpq connection URI, `postgres://user:password@host:port/database`, for statements and, by default, listening.
   */
  readonly url: Redacted.Redacted
  /** Where to listen, if not at `url`: a pooler in transaction mode cannot listen, so give the server's own address. */
  readonly listenUrl?: Redacted.Redacted | undefined
  /** Takes the place of the password in both URLs. */
  readonly password?: Redacted.Redacted | undefined
  /** TLS, for both addresses; by default as `sslmode` in the URL says. */
  readonly ssl?: boolean | ConnectionOptions | undefined
  /**
   * Connections for statements, of each tenant; the listening session is not among them. Default 4. They are opened as
   * they are needed, and closed after 10 seconds without use.
   */
  readonly maxConnections?: number | undefined
  /**
   * How long connecting may take, before it fails with `ConnectFailed` (ETIMEDOUT). Default: `connect_timeout` of the
   * URL, else 5 seconds.
   */
  readonly connectTimeout?: Duration.Input | undefined
  /** Prepared statements; `false` for a pooler that cannot keep them. Default `true`. */
  readonly prepare?: boolean | undefined
}

/**
 * Why a tenant's database could not be reached.
 *
 * A reason carries no cause: causes hold connection URLs and server messages. It keeps what an operator needs: the
 * step, the code of the server (SQLSTATE) or of the operating system (`ECONNREFUSED`), and what that code means. The
 * error around it adds the tenant and the address.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as CodeWords from "./CodeWords.ts"
import { TenantId } from "./TenantId.ts"

const code = Schema.optionalKey(Schema.String)

/** The connector has no database for this tenant. */
export class UnknownTenant extends Schema.TaggedError<UnknownTenant>()("UnknownTenant", {}) {
  readonly step = "resolve"
  override get message() {
    return "the connector knows no database for it; add it to the connector's record, or check the id"
  }
}

/** The function that resolves tenants failed. */
export class ResolverFailed extends Schema.TaggedError<ResolverFailed>()("ResolverFailed", {
  /** The tag or name of what it failed with; its text is left out, as it may hold a secret. */
  name: Schema.String
}) {
  readonly step = "resolve"
  override get message() {
    return `the function that resolves tenants failed with ${this.name}; look at its own log`
  }
}

/** The address that the tenant resolved to cannot be used. Only another address mends it. */
export class InvalidAddress extends Schema.TaggedError<InvalidAddress>()("InvalidAddress", { problem: Schema.String }) {
  readonly step = "resolve"
  override get message() {
    return `its address cannot be used: ${this.problem}`
  }
}

/** No connection came about: no answer at the address, or the server refused the session before it asked who it is. */
export class ConnectFailed extends Schema.TaggedError<ConnectFailed>()("ConnectFailed", { code }) {
  readonly step = "connect"
  override get message() {
    return CodeWords.ofConnecting(this.code)
  }
}

/** The server refused the credentials, or does not let this role log in from here. */
export class AuthenticationFailed extends Schema.TaggedError<AuthenticationFailed>()("AuthenticationFailed", {
  code,
  /**
   * What was wrong, if not the password that was given: the role, the address that it comes from, that there is no
   * password, or the way in which the server wants it.
   */
  problem: Schema.optionalKey(Schema.Literals(["Role", "Address", "AddressWithoutTls", "NoPassword", "Method"]))
}) {
  readonly step = "connect"
  override get message() {
    const suffix = CodeWords.suffix(this.code)
    switch (this.problem) {
      case "Role":
        return `the server knows no such role, or the role may not log in${suffix}; create it, or run ALTER ROLE … LOGIN`
      case "Address":
        return `the server does not let the role log in from here${suffix}; add a line for the role, the database and this host to pg_hba.conf`
      case "AddressWithoutTls":
        return `the server does not let the role log in from here without TLS${suffix}; say sslmode=require in the URL, or add a line to pg_hba.conf`
      case "NoPassword":
        return "the server asks for a password and there is none; give one in the URL, or as the target's password"
      case "Method":
        return "the server asks for a way to log in that is not supported; let it take scram-sha-256 or md5 in pg_hba.conf"
      default:
        return `the server refused the credentials${suffix}; correct the user and the password, or after a rotation call rotateCredentials`
    }
  }
}

/** The session was opened, but `LISTEN` failed on it. */
export class ListenFailed extends Schema.TaggedError<ListenFailed>()("ListenFailed", { code }) {
  readonly step = "listen"
  override get message() {
    return `LISTEN failed${CodeWords.suffix(this.code)}; listening needs a direct connection to the primary`
  }
}

/** An established listening session ended. */
export class SessionLost extends Schema.TaggedError<SessionLost>()("SessionLost", { code }) {
  readonly step = "session"
  override get message() {
    return `the listening session ended${CodeWords.suffix(this.code)}; it is being opened again`
  }
}

/** Another tenant of this process already uses this very database. */
export class DatabaseShared extends Schema.TaggedError<DatabaseShared>()("DatabaseShared", {
  /** The tenant that holds the database. */
  other: TenantId
}) {
  readonly step = "identify"
  override get message() {
    return `its database is that of tenant ${this.other}; give every tenant a database of its own`
  }
}

/** The tenant's statements and its listening session reach two databases. */
export class DatabasesDiffer extends Schema.TaggedError<DatabasesDiffer>()("DatabasesDiffer", {}) {
  readonly step = "identify"
  override get message() {
    return "its statements and its listening session reach two databases; correct url or listenUrl, or wait until an old primary is gone"
  }
}

/**
 * Why a tenant's database could not be reached.
 *
 * @category errors
 */
export const ConnectorErrorReason = Schema.Union([
  UnknownTenant,
  ResolverFailed,
  InvalidAddress,
  ConnectFailed,
  AuthenticationFailed,
  ListenFailed,
  SessionLost,
  DatabaseShared,
  DatabasesDiffer
])

/** @category errors */
export type ConnectorErrorReason = typeof ConnectorErrorReason.Type

/**
 * Who an error is about, for the beginning of its message: the tenant, the address if it is known, and the step that
 * failed if it was one of the connector's.
 */
export const subject = (
  { address, tenant }: { readonly tenant: string; readonly address?: string },
  reason: { readonly _tag: string; readonly step?: string }
): string =>
  `Tenant ${tenant}${address === undefined ? "" : ` at ${address}`}${reason.step === undefined ? "" : `, ${reason.step}`}`

/**
 * A tenant's database could not be reached. Names the tenant, the step and the address, and never a credential. The
 * classes of its reasons are its members: `ConnectorError.ConnectFailed`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectorError extends Schema.TaggedError<ConnectorError>()("ConnectorError", {
  tenant: TenantId,
  /** `host:port/database`, or the path of the socket in the place of host and port; absent if it is not known. */
  address: Schema.optionalKey(Schema.String),
  reason: ConnectorErrorReason
}) {
  static readonly UnknownTenant = UnknownTenant
  static readonly ResolverFailed = ResolverFailed
  static readonly InvalidAddress = InvalidAddress
  static readonly ConnectFailed = ConnectFailed
  static readonly AuthenticationFailed = AuthenticationFailed
  static readonly ListenFailed = ListenFailed
  static readonly SessionLost = SessionLost
  static readonly DatabaseShared = DatabaseShared
  static readonly DatabasesDiffer = DatabasesDiffer

  /** The error of a tenant for this reason. */
  static of(tenant: TenantId, reason: ConnectorErrorReason, address?: string | undefined): ConnectorError {
    return new ConnectorError({ tenant, reason, ...(address === undefined ? {} : { address }) })
  }
  /** What was being done: `resolve`, `connect`, `identify`, `listen`, or `session` for one that was established. */
  get step() {
    return this.reason.step
  }
  override get message() {
    return `${subject(this, this.reason)}: ${this.reason.message}`
  }
}

/** The types of the reasons. */
export declare namespace ConnectorError {
  type UnknownTenant = InstanceType<typeof ConnectorError.UnknownTenant>
  type ResolverFailed = InstanceType<typeof ConnectorError.ResolverFailed>
  type InvalidAddress = InstanceType<typeof ConnectorError.InvalidAddress>
  type ConnectFailed = InstanceType<typeof ConnectorError.ConnectFailed>
  type AuthenticationFailed = InstanceType<typeof ConnectorError.AuthenticationFailed>
  type ListenFailed = InstanceType<typeof ConnectorError.ListenFailed>
  type SessionLost = InstanceType<typeof ConnectorError.SessionLost>
  type DatabaseShared = InstanceType<typeof ConnectorError.DatabaseShared>
  type DatabasesDiffer = InstanceType<typeof ConnectorError.DatabasesDiffer>
}

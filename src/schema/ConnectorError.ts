/**
 * Why a tenant's database could not be reached.
 *
 * No reason carries a cause: causes hold connection URLs and server messages. What is kept is what an operator needs:
 * the step, and the code of the server (SQLSTATE) or of the operating system (`ECONNREFUSED`).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { TenantId } from "./TenantId.ts"

const code = Schema.optionalKey(Schema.String)
const suffix = (code: string | undefined) => (code === undefined ? "" : ` (${code})`)

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

/** The address the tenant resolved to cannot be used. */
export class InvalidAddress extends Schema.TaggedError<InvalidAddress>()("InvalidAddress", { problem: Schema.String }) {
  readonly step = "resolve"
  override get message() {
    return `its address cannot be used: ${this.problem}`
  }
}

/** Nobody answered at the address, or the server refused the database. */
export class ConnectFailed extends Schema.TaggedError<ConnectFailed>()("ConnectFailed", { code }) {
  readonly step = "connect"
  override get message() {
    return `no connection${suffix(this.code)}; check that the server runs and that the address and database exist`
  }
}

/** The server refused the credentials. */
export class AuthenticationFailed extends Schema.TaggedError<AuthenticationFailed>()("AuthenticationFailed", { code }) {
  readonly step = "connect"
  override get message() {
    return `the server refused the credentials${suffix(this.code)}; after a rotation, call rotateCredentials`
  }
}

/** The session was there, but would not listen. */
export class ListenFailed extends Schema.TaggedError<ListenFailed>()("ListenFailed", { code }) {
  readonly step = "listen"
  override get message() {
    return `LISTEN failed${suffix(this.code)}; listening needs a direct connection to the primary`
  }
}

/** An established listening session ended. */
export class SessionLost extends Schema.TaggedError<SessionLost>()("SessionLost", { code }) {
  readonly step = "session"
  override get message() {
    return `the listening session ended${suffix(this.code)}; it is being opened again`
  }
}

/** Another tenant of this process already uses this very database. */
export class DatabaseShared extends Schema.TaggedError<DatabaseShared>()("DatabaseShared", { other: TenantId }) {
  readonly step = "identify"
  override get message() {
    return `its database is that of tenant ${this.other}; give every tenant a database of its own`
  }
}

/** @category errors */
export const ConnectorErrorReason = Schema.Union([
  UnknownTenant,
  ResolverFailed,
  InvalidAddress,
  ConnectFailed,
  AuthenticationFailed,
  ListenFailed,
  SessionLost,
  DatabaseShared
])

/** @category errors */
export type ConnectorErrorReason = typeof ConnectorErrorReason.Type

/**
 * A tenant's database could not be reached. Names the tenant and the step, and never a credential.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectorError extends Schema.TaggedError<ConnectorError>()("ConnectorError", {
  tenant: TenantId,
  reason: ConnectorErrorReason
}) {
  /** What was being done: `resolve`, `connect`, `identify`, `listen`, or `session` for one that was established. */
  get step() {
    return this.reason.step
  }
  override get message() {
    return `Tenant ${this.tenant}, ${this.step}: ${this.reason.message}`
  }
}

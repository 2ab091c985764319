/**
 * The driver's errors in the words of this library. The one place where they are translated; what the server said is
 * left behind, since it may repeat a value or an address.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import {
  AuthenticationFailed,
  ConnectFailed,
  ConnectorError,
  ListenFailed,
  SessionLost
} from "../../../schema/ConnectorError.ts"
import { EntryStoreError, type EntryStoreErrorReason, Refused, Unanswered } from "../../../schema/EntryStoreError.ts"
import type { TenantId } from "../../../schema/TenantId.ts"
import type { Server } from "./PgAddress.ts"

/** The SQLSTATE of the server or the code of the operating system, if there is one. */
export const codeOf = (error: SqlError): { readonly code?: string } => {
  const cause: unknown = error.reason.cause
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? { code: cause.code }
    : {}
}

/** Why no session came about. */
const connectReason = (error: SqlError, server?: Server): AuthenticationFailed | ConnectFailed => {
  const { code } = codeOf(error)
  if (error.reason._tag !== "AuthenticationError") {
    const own = code ?? codesOfDriver.get(error.reason.message)
    return new ConnectFailed(own === undefined ? {} : { code: own })
  }
  const problem =
    code === "28000"
      ? loginProblem(error, server)
      : code === undefined
        ? problemsOfDriver.get(error.reason.message)
        : undefined
  return new AuthenticationFailed({ ...codeOf(error), ...(problem === undefined ? {} : { problem }) })
}

/** The driver's words for what neither the server nor the operating system has a code for. */
const codesOfDriver: ReadonlyMap<string, string> = new Map([
  ["PgConnection: Server refused TLS", "TLS_REFUSED"],
  ["PgConnection: Connection timed out", "ETIMEDOUT"],
  ["PgConnection: Connection closed during startup", "ECONNRESET"],
  ["PgConnection: Protocol desync", "NOT_POSTGRESQL"],
  ["PgConnection: Failed to parse server response", "NOT_POSTGRESQL"],
  ["PgConnection: Invalid SSLRequest response", "NOT_POSTGRESQL"],
  ["PgConnection: Failed to parse SSLRequest error response", "NOT_POSTGRESQL"]
])
const problemsOfDriver: ReadonlyMap<string, AuthenticationFailed["problem"]> = new Map([
  ["PgConnection: No password configured", "NoPassword"],
  ["PgConnection: Only SCRAM-SHA-256 is supported", "Method"],
  ["PgConnection: Unsupported authentication method", "Method"]
])

/** The server's words are in its language; the name of the routine that refused is not. */
const loginProblem = (error: SqlError, server: Server | undefined): AuthenticationFailed["problem"] => {
  const cause: unknown = error.reason.cause
  const routine = typeof cause === "object" && cause !== null && "routine" in cause ? cause.routine : undefined
  if (routine === "InitializeSessionUserId") return "Role"
  if (routine !== "ClientAuthentication") return undefined
  return server?.encrypts === false ? "AddressWithoutTls" : "Address"
}

export const connectFailure = (tenant: TenantId, error: SqlError, server?: Server): ConnectorError =>
  ConnectorError.of(tenant, connectReason(error, server), server?.address)

export const listenFailure = (tenant: TenantId, error: SqlError, address?: string): ConnectorError =>
  ConnectorError.of(tenant, new ListenFailed(codeOf(error)), address)

export const sessionLost = (tenant: TenantId, error: SqlError, address?: string): ConnectorError =>
  ConnectorError.of(tenant, new SessionLost(codeOf(error)), address)

/** If nothing says more than that no connection came about. */
export const notConnected = (tenant: TenantId, code?: "ETIMEDOUT", server?: Server): ConnectorError =>
  ConnectorError.of(tenant, new ConnectFailed(code === undefined ? {} : { code }), server?.address)

/**
 * Whether a failed statement certainly did nothing.
 *
 * An error that the server reports about a statement is final; one that ends the session (connection exceptions 08,
 * operator intervention 57P, system and internal errors 58 and XX) can come after the commit, as can a lost connection,
 * whose code is that of the operating system (`EPIPE`); and 40003 says of itself that the outcome is unknown. Classes:
 * https://www.postgresql.org/docs/18/errcodes-appendix.html
 */
export const statementFailure = (error: SqlError, server?: Server): EntryStoreErrorReason => {
  if (error.reason.operation === "connect") return connectReason(error, server)
  const { code } = codeOf(error)
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !/^(08|40003|57P|58|XX|E)/.test(code)
    ? new Refused({ code })
    : new Unanswered(codeOf(error))
}

/** Whether the server took the transaction back because of others: it may be run again, and may then succeed. */
export const isRolledBackByOthers = ({ reason }: EntryStoreError): boolean =>
  reason._tag === "Refused" && (reason.code === "40001" || reason.code === "40P01")

/** Translates whatever a statement on a tenant's database failed with. */
export const translated =
  (tenant: TenantId, server?: Server) =>
  <A, R>(
    effect: Effect.Effect<A, SqlError | ConnectorError | EntryStoreError, R>
  ): Effect.Effect<A, EntryStoreError, R> =>
    Effect.mapError(effect, (error) => {
      switch (error._tag) {
        case "EntryStoreError":
          return error
        case "ConnectorError":
          return EntryStoreError.from(error)
        case "SqlError":
          return EntryStoreError.of(tenant, statementFailure(error, server), server?.address)
      }
    })

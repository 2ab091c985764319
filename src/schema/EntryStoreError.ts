/**
 * Why a statement about a tenant's entries failed.
 *
 * @since 0.1.0
 */

import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { ConnectorError } from "./ConnectorError.ts"
import { show } from "./KeyName.ts"
import { TenantId } from "./TenantId.ts"

const code = Schema.optionalKey(Schema.String)
const suffix = (code: string | undefined) => (code === undefined ? "" : ` (${code})`)

/** The database could not be reached; nothing was sent. */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", { cause: ConnectorError }) {
  override get message() {
    return this.cause.message
  }
}

/** The connection ended, or the time ran out, while an answer was awaited: a write may or may not have landed. */
export class Unanswered extends Schema.TaggedError<Unanswered>()("Unanswered", { code }) {
  override get message() {
    return `the database did not answer${suffix(this.code)}`
  }
}

/** The connection ended, or the time ran out, before anything was committed; nothing was written. */
export class NotCommitted extends Schema.TaggedError<NotCommitted>()("NotCommitted", { code }) {
  override get message() {
    return `the connection was lost before anything was committed${suffix(this.code)}; nothing was written, so try again`
  }
}

/** The server refused the statement; nothing was written. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { code }) {
  override get message() {
    switch (this.code) {
      case "42P01":
      case "42703":
        return `the tables are missing or outdated${suffix(this.code)}; run Ddl.sql on this database`
      case "42501":
        return `the role lacks a privilege${suffix(this.code)}; run Ddl.grants(role) on this database`
      case "40001":
      case "40P01":
        return `other transactions got in the way, time and again${suffix(this.code)}; try again`
      case "55P03":
        return `another transaction holds the row, and did not let go of it${suffix(this.code)}; end it, or try again`
      default:
        return `the server refused the statement${suffix(this.code)}`
    }
  }
}

/** The database left several reads in a row without an answer, and is given time; nothing was sent. */
export class NotAsked extends Schema.TaggedError<NotAsked>()("NotAsked", {
  /** When the database is asked again; absent where another read is asking it now. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}) {
  override get message() {
    const until =
      this.retryAfter === undefined
        ? "one read is trying it now"
        : `it is asked again in ${Math.ceil(Duration.toMillis(this.retryAfter))} ms`
    return `the database left several reads in a row unanswered; ${until}`
  }
}

/** The entry is at another revision than the write expected; nothing was written. */
export class RevisionMismatch extends Schema.TaggedError<RevisionMismatch>()("RevisionMismatch", {
  namespace: Schema.String,
  key: Schema.String,
  /** 0: no row was expected. */
  expected: Schema.Int,
  /** 0: there is no row. */
  actual: Schema.Int
}) {
  override get message() {
    return `${show(this)} is at revision ${this.actual}, not ${this.expected}`
  }
}

/** @category errors */
export const EntryStoreErrorReason = Schema.Union([
  Unreachable,
  Unanswered,
  NotCommitted,
  NotAsked,
  Refused,
  RevisionMismatch
])

/** @category errors */
export type EntryStoreErrorReason = typeof EntryStoreErrorReason.Type

/**
 * A statement about a tenant's entries failed. Carries the server's code, never its message: that may repeat a value.
 *
 * @category errors
 * @since 0.1.0
 */
export class EntryStoreError extends Schema.TaggedError<EntryStoreError>()("EntryStoreError", {
  tenant: TenantId,
  reason: EntryStoreErrorReason
}) {
  override get message() {
    return `Tenant ${this.tenant}: ${this.reason.message}`
  }
}

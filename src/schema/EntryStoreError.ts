/**
 * Why a statement about a tenant's entries failed.
 *
 * A database that could not be reached is one of the connector's reasons, as it is: nothing was sent then. The other
 * reasons tell what became of the statement. No reason holds a message of the server, which may repeat a value.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { type ConnectorError, ConnectorErrorReason, codeSuffix, subject } from "./ConnectorError.ts"
import { show } from "./KeyName.ts"
import { TenantId } from "./TenantId.ts"

const code = Schema.optionalKey(Schema.String)

/** The connection ended, or the time ran out, while an answer was awaited: a write may or may not have landed. */
export class Unanswered extends Schema.TaggedError<Unanswered>()("Unanswered", {
  code,
  /** How long the answer was awaited, if the time ran out. */
  within: Schema.optionalKey(Schema.DurationFromMillis)
}) {
  override get message() {
    const within = this.within === undefined ? "" : ` within ${Duration.format(this.within)}`
    return `the database did not answer${within}${codeSuffix(this.code)}`
  }
}

/** The connection ended, or the time ran out, before anything was committed; nothing was written. */
export class NotCommitted extends Schema.TaggedError<NotCommitted>()("NotCommitted", { code }) {
  override get message() {
    return `the connection was lost before anything was committed${codeSuffix(this.code)}; nothing was written, so try again`
  }
}

/** The server refused the statement; nothing was written. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { code }) {
  override get message() {
    return `${refusal(this.code)[0]}${codeSuffix(this.code)}${refusal(this.code)[1]}`
  }
}

/** Reads are paused, because several in a row were not answered; nothing was sent. */
export class NotAsked extends Schema.TaggedError<NotAsked>()("NotAsked", {
  /** When the database is asked again; absent while another read is asking it. */
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}) {
  override get message() {
    const until =
      this.retryAfter === undefined
        ? "a probe is under way"
        : `the next is sent in ${Math.ceil(Duration.toMillis(this.retryAfter))} ms`
    return `reads are paused after several unanswered attempts; ${until}`
  }
}

/** Too many reads and writes wait for tenants that this process never connected to; nothing was sent. */
export class Crowded extends Schema.TaggedError<Crowded>()("Crowded", {}) {
  override get message() {
    return "too many reads and writes wait for tenants that this process never connected to; check where the tenant ids come from, and activate those that exist"
  }
}

/** The entry is at another revision than the write expected. Nothing was written: read it again, then decide. */
export class RevisionConflict extends Schema.TaggedError<RevisionConflict>()("RevisionConflict", {
  namespace: Schema.String,
  key: Schema.String,
  /** 0: no row was expected. */
  expected: Schema.Int,
  /** 0: there is no row. */
  actual: Schema.Int
}) {
  override get message() {
    return `${show(this)} is at revision ${this.actual}, not ${this.expected}; read it again, then decide`
  }
}

/**
 * A trigger of the database kept a row from being written or deleted, or wrote another one in its place. Nothing was
 * written: the statement was taken back.
 */
export class Skipped extends Schema.TaggedError<Skipped>()("Skipped", {
  /** The triggers that may have done it. */
  triggers: Schema.Array(Schema.String)
}) {
  override get message() {
    const [some, pronoun] =
      this.triggers.length === 1 ? ["a trigger", "it"] : ["one of the triggers", "the one that does"]
    return `${some} on systemplane_entries (${this.triggers.join(", ")}) skipped or refused the write, or wrote something else in its place; nothing was written, and trying again does not help: change or drop ${pronoun}`
  }
}

/** The encoding of the database cannot hold a character of what was to be written; nothing was written. */
export class Unencodable extends Schema.TaggedError<Unencodable>()("Unencodable", {
  /** The parts that have such a character. */
  parts: Schema.NonEmptyArray(
    Schema.Union([
      Schema.Struct({ part: Schema.Literals(["name", "value"]), namespace: Schema.String, key: Schema.String }),
      Schema.Struct({ part: Schema.Literals(["actor", "reason"]) })
    ])
  )
}) {
  override get message() {
    const parts = this.parts.map((part) => `the ${part.part}${"key" in part ? ` of ${show(part)}` : ""}`)
    return `the encoding of the database cannot hold a character of ${parts.join(", ")}; use a database in UTF8, or plain letters`
  }
}

/** The change id took effect before, for other keys or with other values; nothing was written. */
export class ChangeIdReused extends Schema.TaggedError<ChangeIdReused>()("ChangeIdReused", { id: Schema.String }) {
  override get message() {
    return `the change ${this.id} took effect before, with another content; give each change an id of its own`
  }
}

/** @category errors */
export const EntryStoreErrorReason = Schema.Union([
  Unanswered,
  NotCommitted,
  NotAsked,
  Crowded,
  Refused,
  RevisionConflict,
  ChangeIdReused,
  Skipped,
  Unencodable,
  ...ConnectorErrorReason.members
])

/** @category errors */
export type EntryStoreErrorReason = typeof EntryStoreErrorReason.Type

/**
 * A statement about a tenant's entries failed. Carries the server's code, never its message: that may repeat a value.
 * The classes of its own reasons are its members: `EntryStoreError.Refused`.
 *
 * @category errors
 * @since 0.1.0
 */
export class EntryStoreError extends Schema.TaggedError<EntryStoreError>()("EntryStoreError", {
  tenant: TenantId,
  /** `host:port/database`; absent if it is not known. */
  address: Schema.optionalKey(Schema.String),
  reason: EntryStoreErrorReason
}) {
  static readonly Unanswered = Unanswered
  static readonly NotCommitted = NotCommitted
  static readonly NotAsked = NotAsked
  static readonly Crowded = Crowded
  static readonly Refused = Refused
  static readonly RevisionConflict = RevisionConflict
  static readonly ChangeIdReused = ChangeIdReused
  static readonly Skipped = Skipped
  static readonly Unencodable = Unencodable

  /** The error of a tenant for this reason. */
  static of(tenant: TenantId, reason: EntryStoreErrorReason, address?: string | undefined): EntryStoreError {
    return new EntryStoreError({ tenant, reason, ...(address === undefined ? {} : { address }) })
  }
  /** The same reason, as an error of the store. */
  static from({ address, reason, tenant }: ConnectorError): EntryStoreError {
    return EntryStoreError.of(tenant, reason, address)
  }
  override get message() {
    return `${subject(this, this.reason)}: ${this.reason.message}`
  }
}

/** The types of the reasons. */
export declare namespace EntryStoreError {
  type Unanswered = InstanceType<typeof EntryStoreError.Unanswered>
  type NotCommitted = InstanceType<typeof EntryStoreError.NotCommitted>
  type NotAsked = InstanceType<typeof EntryStoreError.NotAsked>
  type Crowded = InstanceType<typeof EntryStoreError.Crowded>
  type Refused = InstanceType<typeof EntryStoreError.Refused>
  type RevisionConflict = InstanceType<typeof EntryStoreError.RevisionConflict>
  type ChangeIdReused = InstanceType<typeof EntryStoreError.ChangeIdReused>
  type Skipped = InstanceType<typeof EntryStoreError.Skipped>
  type Unencodable = InstanceType<typeof EntryStoreError.Unencodable>
}

/**
 * A schema, a table, a column or a function that is not there, or an object that is not as it should be: also a
 * sequence that does not count up, or gives no more numbers.
 */
const missingObjects: ReadonlySet<string | undefined> = new Set(["3F000", "42P01", "42703", "42883", "42P17", "2200H"])

/** Whether the server refused a statement because something of ours is not there: it was dropped, or never made. */
export const saysObjectsMissing = (reason: { readonly _tag: string; readonly code?: string | undefined }): boolean =>
  reason._tag === "Refused" && missingObjects.has(reason.code)

/** What the server refused a statement for, before its code and after it. */
const refusal = (code: string | undefined): readonly [problem: string, advice: string] => {
  if (missingObjects.has(code)) {
    return [
      "the tables are missing or outdated",
      "; run Ddl.sql on this database, and if that changes nothing, look at the triggers that others put on the table"
    ]
  }
  switch (code) {
    case "42501":
      return [
        "the role, or the owner of the functions, lacks a privilege",
        "; run Ddl.grants(role) on this database, and if a table or a function has changed its owner, first Ddl.sql as a superuser"
      ]
    case "40001":
    case "40P01":
      return ["gave up after repeated conflicts with other transactions", "; try again"]
    case "55P03":
      return ["another transaction still holds the row or the table", "; end it, or try again"]
    case "42P10":
      return [
        "systemplane_entries has no primary key on namespace and key, or two rows have one name",
        "; remove one of two such rows, then run Ddl.sql on this database"
      ]
    case "23502":
      return [
        "a column that others added to the table must have a value, and has no default",
        "; give it a default, or drop its NOT NULL. If there is none, session_replication_role keeps the triggers from firing: unset it"
      ]
    case "23503":
      return [
        "a foreign key that others put on the table refuses the row",
        "; add the row that it refers to, or drop the constraint"
      ]
    case "23505":
    case "23P01":
      return [
        "a unique or exclusion constraint that others put on the table refuses the row",
        "; write another value, or drop the constraint"
      ]
    case "23514":
      return [
        "a CHECK constraint that others put on the table refuses the value",
        "; write another value, or drop the constraint"
      ]
    case "P0001":
      return ["a trigger or a function that others made refuses it", "; the server's log has its words"]
    case "42P16":
      return [
        "the table is defined in a way that Ddl.sql cannot change",
        "; bring it into the form that Ddl.sql makes, by hand"
      ]
    case "55000":
      return [
        "a constraint or an object of the database is not in the state that the statement needs",
        "; if namespace and key have a deferrable key, run Ddl.sql on this database, else look at the server's log"
      ]
    case "2BP01":
    case "0A000":
      return [
        "another object of the database depends on what was to be changed",
        "; the server's log names it: drop it, run Ddl.sql, and make it again"
      ]
    case "25006":
      return [
        "the server is read-only",
        "; give the address of the primary, wait until the fail-over is over, or unset default_transaction_read_only"
      ]
    case "22P05":
    case "22021":
      return [
        "the encoding of the database cannot hold a character of the text",
        "; use a database in UTF8, or plain letters"
      ]
    case "53100":
    case "53200":
      return ["the server is out of disk space or memory", "; free some, then try again"]
    case "53300":
      return ["the server has no connection left", "; close other sessions, or raise max_connections"]
    case "57014":
      return ["the statement was cancelled", "; raise statement_timeout, or try again"]
    default:
      return ["the server refused the statement", code === undefined ? "" : "; the server's log says why"]
  }
}

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
import * as CodeWords from "./CodeWords.ts"
import { type ConnectorError, ConnectorErrorReason, subject } from "./ConnectorError.ts"
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
    return `the database did not answer${within}${CodeWords.suffix(this.code)}`
  }
}

/** The connection ended, or the time ran out, before anything was committed; nothing was written. */
export class NotCommitted extends Schema.TaggedError<NotCommitted>()("NotCommitted", { code }) {
  override get message() {
    return `the connection was lost before anything was committed${CodeWords.suffix(this.code)}; nothing was written, so try again`
  }
}

/** The server refused the statement; nothing was written. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { code }) {
  override get message() {
    return CodeWords.ofRefusal(this.code)
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

/**
 * What a failed statement says to the caller of `Config`. The one place where the errors of the store and the bootstrap
 * are translated into reasons of `ConfigError`.
 *
 * @since 0.1.0
 */
import {
  ChangeIdReused,
  type ConfigErrorReason,
  InvalidActor,
  InvalidChange,
  InvalidValue,
  RevisionConflict,
  Unavailable,
  UnknownTenant,
  WriteOutcomeUnknown
} from "./ConfigError.ts"
import type { Entry } from "./Entry.ts"
import type { EntryStoreError } from "./EntryStoreError.ts"
import type { SchemaBootstrapError, SchemaBootstrapErrorReason } from "./SchemaBootstrapError.ts"
import type { TenantId } from "./TenantId.ts"
import type { WriteRequest } from "./WriteRequest.ts"

/** A read that the database did not answer. */
export const ofRead = (error: EntryStoreError, lastKnown?: Entry<unknown> | undefined): Unavailable | UnknownTenant =>
  unavailable(error, lastKnown)

/** A database that could not be made ready. */
export const ofPreparation = (error: SchemaBootstrapError): Unavailable | UnknownTenant => unavailable(error)

/** A write that failed. `unavailable` is the reason if it certainly did nothing because there was no database. */
export const ofWrite = (
  error: EntryStoreError,
  request: WriteRequest,
  unavailable: () => Unavailable | UnknownTenant = () => ofRead(error)
): ConfigErrorReason => {
  const { reason, tenant } = error
  switch (reason._tag) {
    case "RevisionConflict": {
      const { actual, expected, key, namespace } = reason
      return new RevisionConflict({ tenant, namespace, key, expected, actual })
    }
    case "Unanswered":
      return unknownOutcome(tenant, request)
    case "ChangeIdReused":
      return new ChangeIdReused({ tenant, changeId: request.change.id })
    case "Unencodable":
      return ofEncoding(reason)
    default:
      return unavailable()
  }
}

/** The caller's text is what the database refuses: it is named as if the plane had refused it. */
const ofEncoding = ({ parts }: EntryStoreError.Unencodable): InvalidValue | InvalidActor | InvalidChange => {
  const beyond = "has a character that the encoding of the database cannot hold; use a database in UTF8"
  const named = parts.flatMap((part) => ("key" in part ? [part] : []))
  if (named.length > 0) {
    return new InvalidValue({
      problems: named.map(({ key, namespace, part }) => ({
        namespace,
        key,
        problem: `${part === "name" ? "the key's name" : "it"} ${beyond}`
      }))
    })
  }
  return parts[0].part === "actor"
    ? new InvalidActor({ problem: `it ${beyond}` })
    : new InvalidChange({ problem: `its reason ${beyond}` })
}

/** A write of which no answer came. */
export const unknownOutcome = (tenant: TenantId, { change, writes }: WriteRequest): WriteOutcomeUnknown =>
  new WriteOutcomeUnknown({
    tenant,
    changeId: change.id,
    keys: writes.map(({ key: { key, namespace } }) => ({ namespace, key }))
  })

const unavailable = (
  { address, reason, tenant }: EntryStoreError | SchemaBootstrapError,
  lastKnown?: Entry<unknown> | undefined
): Unavailable | UnknownTenant =>
  reason._tag === "UnknownTenant"
    ? new UnknownTenant({ tenant })
    : new Unavailable({
        tenant,
        problem: problemOf(reason),
        ...(address === undefined ? {} : { address }),
        ...(lastKnown === undefined ? {} : { lastKnown }),
        ...(reason._tag === "NotAsked" && reason.retryAfter ? { retryAfter: reason.retryAfter } : {})
      })

// That a database belongs to another tenant is for operators: a reader must not learn the other one's name.
const problemOf = (reason: SchemaBootstrapErrorReason): string =>
  reason._tag === "DatabaseShared" ? "its database is in use by another tenant" : reason.message

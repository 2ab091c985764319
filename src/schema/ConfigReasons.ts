/**
 * What a failed statement says to the caller of `Config`. The one place where the store's errors are translated.
 *
 * @since 0.1.0
 */
import {
  ConfigError,
  type ConfigErrorReason,
  RevisionConflict,
  Unavailable,
  WriteOutcomeUnknown
} from "./ConfigError.ts"
import type { ConfigKey } from "./ConfigKey.ts"
import type { Entry } from "./Entry.ts"
import type { EntryStoreError, EntryStoreErrorReason } from "./EntryStoreError.ts"
import type { SchemaBootstrapError } from "./SchemaBootstrapError.ts"

/** A read that the database did not answer. A tenant that does not exist has no value, not even a last known one. */
export const ofRead = (error: EntryStoreError, lastKnown?: Entry<unknown> | undefined): ConfigErrorReason =>
  isUnknownTenant(error.reason)
    ? new ConfigError.UnknownTenant({ tenant: error.tenant })
    : unavailable(error, lastKnown)

const isUnknownTenant = (reason: EntryStoreErrorReason): boolean =>
  reason._tag === "Unreachable" && reason.cause.reason._tag === "UnknownTenant"

const unavailable = (error: EntryStoreError, lastKnown: Entry<unknown> | undefined): Unavailable =>
  new Unavailable({
    tenant: error.tenant,
    problem: problemOf(error.reason),
    ...(lastKnown === undefined ? {} : { lastKnown }),
    ...(error.reason._tag === "NotAsked" && error.reason.retryAfter ? { retryAfter: error.reason.retryAfter } : {})
  })

/** A database that could not be made ready. */
export const ofPreparation = ({ reason, tenant }: SchemaBootstrapError): ConfigErrorReason =>
  reason._tag === "BootstrapFailed" && isUnknownTenant(reason.cause)
    ? new ConfigError.UnknownTenant({ tenant })
    : new Unavailable({ tenant, problem: reason._tag === "BootstrapFailed" ? problemOf(reason.cause) : reason.message })

/** A write that failed. Where it certainly did nothing for want of a database, `unavailable` says so. */
export const ofWrite = (
  error: EntryStoreError,
  keys: ReadonlyArray<ConfigKey.Any>,
  unavailable: () => ConfigErrorReason = () => ofRead(error)
): ConfigErrorReason => {
  const { reason, tenant } = error
  switch (reason._tag) {
    case "RevisionMismatch": {
      const { actual, expected, key, namespace } = reason
      return new RevisionConflict({ tenant, namespace, key, expected, actual })
    }
    case "Unanswered":
      return new WriteOutcomeUnknown({ tenant, keys: keys.map(({ key, namespace }) => ({ namespace, key })) })
    default:
      return unavailable()
  }
}

// That a database belongs to another tenant is for operators: a reader must not learn the other one's name.
const problemOf = (reason: EntryStoreErrorReason): string =>
  reason._tag === "Unreachable" && reason.cause.reason._tag === "DatabaseShared"
    ? "its database is in use by another tenant"
    : reason.message

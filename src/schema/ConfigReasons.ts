/**
 * What a failed statement says to the caller of `Config`. The one place where the store's errors are translated.
 *
 * @since 0.1.0
 */
import { type ConfigErrorReason, RevisionConflict, Unavailable, WriteOutcomeUnknown } from "./ConfigError.ts"
import type { ConfigKey } from "./ConfigKey.ts"
import type { Entry } from "./Entry.ts"
import type { EntryStoreError, EntryStoreErrorReason } from "./EntryStoreError.ts"
import type { SchemaBootstrapError } from "./SchemaBootstrapError.ts"

/** A read that the database did not answer. */
export const ofRead = (error: EntryStoreError, lastKnown?: Entry<unknown> | undefined): Unavailable =>
  new Unavailable({
    tenant: error.tenant,
    problem: problemOf(error.reason),
    ...(lastKnown === undefined ? {} : { lastKnown }),
    ...(error.reason._tag === "NotAsked" && error.reason.retryAfter ? { retryAfter: error.reason.retryAfter } : {})
  })

/** A database that could not be made ready. */
export const ofPreparation = ({ reason, tenant }: SchemaBootstrapError): Unavailable =>
  new Unavailable({ tenant, problem: reason._tag === "BootstrapFailed" ? problemOf(reason.cause) : reason.message })

/** A write that failed. Where it certainly did nothing for want of a database, `unavailable` says so. */
export const ofWrite = (
  error: EntryStoreError,
  keys: ReadonlyArray<ConfigKey.Any>,
  unavailable: () => Unavailable = () => ofRead(error)
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

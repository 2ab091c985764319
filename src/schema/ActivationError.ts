/**
 * Why a tenant is not live.
 *
 * The reasons of the connector, the bootstrap and the store are taken as they are: `error.reason._tag` is
 * `"ConnectFailed"`, `"SchemaMissing"` or `"Refused"`. Only what the manager itself decides has reasons of its own.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Closed, InvalidTenantId } from "./ConfigError.ts"
import { type ConnectorError, subject } from "./ConnectorError.ts"
import type { EntryStoreError } from "./EntryStoreError.ts"
import { type SchemaBootstrapError, SchemaBootstrapErrorReason } from "./SchemaBootstrapError.ts"

/** A later call suspended or removed the tenant. */
export class Superseded extends Schema.TaggedError<Superseded>()("Superseded", {}) {
  override get message() {
    return "it was suspended or removed before it was live"
  }
}

/** It took longer than `bootTimeout`. */
export class BootTimedOut extends Schema.TaggedError<BootTimedOut>()("BootTimedOut", { millis: Schema.Finite }) {
  override get message() {
    return `it was not live within ${this.millis} ms; raise bootTimeout, or use boot: "background"`
  }
}

/** @category errors */
export const ActivationErrorReason = Schema.Union([
  InvalidTenantId,
  Superseded,
  BootTimedOut,
  Closed,
  ...SchemaBootstrapErrorReason.members
])

/** @category errors */
export type ActivationErrorReason = typeof ActivationErrorReason.Type

/**
 * What `TenantManager` fails with. The classes of its own reasons are its members: `ActivationError.Superseded`; those
 * of the others are members of their errors.
 *
 * @category errors
 * @since 0.1.0
 */
export class ActivationError extends Schema.TaggedError<ActivationError>()("ActivationError", {
  /** As the caller gave it, and not a tenant's id if the reason is `InvalidTenantId`: that is cut to 64 characters. */
  tenant: Schema.String,
  /** `host:port/database`; absent if it is not known. */
  address: Schema.optionalKey(Schema.String),
  reason: ActivationErrorReason
}) {
  static readonly Superseded = Superseded
  static readonly BootTimedOut = BootTimedOut

  /** The error of a tenant for this reason. */
  static of(tenant: string, reason: ActivationErrorReason, address?: string | undefined): ActivationError {
    return new ActivationError({ tenant, reason, ...(address === undefined ? {} : { address }) })
  }
  /** The same reason, as an error of the manager. */
  static from({ address, reason, tenant }: ConnectorError | EntryStoreError | SchemaBootstrapError): ActivationError {
    return ActivationError.of(tenant, reason, address)
  }
  /** The error for what cannot be the id of a tenant. */
  static ofInvalidId(given: unknown): ActivationError {
    const reason = InvalidTenantId.from(given)
    return ActivationError.of(reason.given, reason)
  }
  override get message() {
    return this.reason._tag === "InvalidTenantId" || this.reason._tag === "Closed"
      ? this.reason.message
      : `${subject(this, this.reason)}: ${this.reason.message}`
  }
}

/** The types of the reasons. */
export declare namespace ActivationError {
  type Superseded = InstanceType<typeof ActivationError.Superseded>
  type BootTimedOut = InstanceType<typeof ActivationError.BootTimedOut>
}

/**
 * Why a tenant is not live.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Closed, InvalidTenantId } from "./ConfigError.ts"
import { ConnectorError } from "./ConnectorError.ts"
import { EntryStoreError } from "./EntryStoreError.ts"
import { SchemaBootstrapError } from "./SchemaBootstrapError.ts"
import { TenantId } from "./TenantId.ts"

/** The database could not be resolved, reached or listened to; also where it is the database of another tenant. */
export class ConnectFailure extends Schema.TaggedError<ConnectFailure>()("ConnectFailure", { cause: ConnectorError }) {
  override get message() {
    return this.cause.message
  }
}

/** The schema could not be brought up or is not as it should be. */
export class BootstrapFailure extends Schema.TaggedError<BootstrapFailure>()("BootstrapFailure", {
  cause: SchemaBootstrapError
}) {
  override get message() {
    return this.cause.message
  }
}

/** The entries could not be read. */
export class LoadFailure extends Schema.TaggedError<LoadFailure>()("LoadFailure", { cause: EntryStoreError }) {
  override get message() {
    return this.cause.message
  }
}

/** Two tenants resolve to the same database. */
export class SameDatabase extends Schema.TaggedError<SameDatabase>()("SameDatabase", {
  tenant: TenantId,
  other: TenantId
}) {
  override get message() {
    return `Tenants ${this.tenant} and ${this.other} resolve to the same database; give every tenant a database of its own`
  }
}

/** Somebody suspended or removed the tenant meanwhile. */
export class Superseded extends Schema.TaggedError<Superseded>()("Superseded", { tenant: TenantId }) {
  override get message() {
    return `Tenant ${this.tenant} was suspended or removed before it was live`
  }
}

/** It took longer than `bootTimeout`. */
export class BootTimedOut extends Schema.TaggedError<BootTimedOut>()("BootTimedOut", {
  tenant: TenantId,
  millis: Schema.Finite
}) {
  override get message() {
    return `Tenant ${this.tenant} was not live within ${this.millis} ms; raise bootTimeout, or use boot: "background"`
  }
}

/** @category errors */
export const ActivationErrorReason = Schema.Union([
  InvalidTenantId,
  ConnectFailure,
  BootstrapFailure,
  LoadFailure,
  SameDatabase,
  Superseded,
  BootTimedOut,
  Closed
])

/** @category errors */
export type ActivationErrorReason = typeof ActivationErrorReason.Type

/**
 * What `TenantManager` fails with.
 *
 * @category errors
 * @since 0.1.0
 */
export class ActivationError extends Schema.TaggedError<ActivationError>()("ActivationError", {
  reason: ActivationErrorReason
}) {
  override get message() {
    return this.reason.message
  }
}

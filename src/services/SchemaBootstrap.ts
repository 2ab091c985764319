/**
 * Prepares a tenant's database: its schema, and rows for the defaults.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { KeyName } from "../schema/KeyName.ts"
import type { SchemaBootstrapError } from "../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../schema/TenantId.ts"
import type { Seed } from "./KeyRegistry.ts"

/** A default that the server refused to store. It is in force all the same. */
export interface RefusedSeed extends KeyName {
  /** The server's code. */
  readonly code: string
}

/**
 * What seeding wrote.
 *
 * @category models
 * @since 0.1.0
 */
export interface Seeded {
  /** How many defaults were written. */
  readonly inserted: number
  readonly refused: ReadonlyArray<RefusedSeed>
}

/**
 * What an operator should mend, and how. The tenant is served all the same.
 *
 * @category models
 * @since 0.1.0
 */
export interface Verified {
  readonly warnings: ReadonlyArray<string>
}

/**
 * What `ensure` did.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ensured extends Verified {
  /** The names of the parts that it made or mended. */
  readonly changed: ReadonlyArray<string>
}

/**
 * Prepares databases and seeds defaults.
 *
 * **Details**
 *
 * All methods are idempotent and safe to run from many processes at once. They fail with `SchemaBootstrapError`:
 * `SchemaMissing` and `SchemaOutdated` name what is wrong and carry the SQL that mends it.
 *
 * @category services
 * @since 0.1.0
 */
export class SchemaBootstrap extends Context.Service<
  SchemaBootstrap,
  {
    /**
     * Whether there is nothing left to do: the schema is up and may be used, and each of the defaults has a row. One
     * statement with the names of all defaults, for tenants that were prepared long ago. It is `false` too if that
     * cannot be told: if there is no answer within 5 seconds, since another process holds the table for an upgrade, and
     * always for databases in memory. Fails if the database cannot be reached.
     */
    readonly isPrepared: (tenant: TenantId, seeds: ReadonlyArray<Seed>) => Effect.Effect<boolean, SchemaBootstrapError>
    /**
     * Looks first, and changes only what is missing or outdated, in one transaction: an up-to-date database sees no DDL
     * and no lock. Returns the names of the parts it changed. A role that may not change the schema fails with
     * `SchemaMissing` or `SchemaOutdated`, as `verify` does, and otherwise gets the warnings of `verify`. A history
     * that is made keeps no value of these secrets, though no application has declared them yet.
     */
    readonly ensure: (
      tenant: TenantId,
      secrets?: ReadonlyArray<KeyName>
    ) => Effect.Effect<Ensured, SchemaBootstrapError>
    /**
     * Looks, and changes nothing. Fails if changes or revisions would get lost; what is unsafe, or missing and not
     * needed to serve values, comes back as warnings with the SQL that mends it. `readOnly`: `SELECT` on the entries is
     * enough.
     */
    readonly verify: (
      tenant: TenantId,
      options?: { readonly readOnly?: boolean | undefined }
    ) => Effect.Effect<Verified, SchemaBootstrapError>
    /**
     * Writes the defaults that have no row, never over a row. A default that the server refuses stops no other one and
     * is named in the answer. Fails if no default can be written at all: no right to, a read-only server, no answer.
     */
    readonly seed: (tenant: TenantId, seeds: ReadonlyArray<Seed>) => Effect.Effect<Seeded, SchemaBootstrapError>
    /**
     * Preparing the tenant ended, and no feed follows: what was opened for the feed is closed. Does nothing if a feed
     * has taken it up.
     */
    readonly abandon: (tenant: TenantId) => Effect.Effect<void>
  }
>()("effect-systemplane/services/SchemaBootstrap") {}

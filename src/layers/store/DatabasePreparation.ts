/**
 * Preparing a tenant's database: on its activation, or before it is first used where nobody activates the tenant.
 */
import * as Cache from "effect/Cache"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { SchemaBootstrapError } from "../../schema/SchemaBootstrapError.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import { KeyRegistry } from "../../services/KeyRegistry.ts"
import { SchemaBootstrap } from "../../services/SchemaBootstrap.ts"

export interface DatabasePreparationOptions {
  readonly bootstrap: "ensure" | "verify" | "skip"
  readonly seedDefaults: boolean
}

/** Prepares a tenant's database each time it runs. */
export const prepare = Effect.fnUntraced(function* (options: DatabasePreparationOptions) {
  const bootstrap = yield* SchemaBootstrap
  const registry = yield* KeyRegistry

  const seeds = options.seedDefaults ? registry.seeds : []
  const seed = (tenant: TenantId) => (seeds.length === 0 ? Effect.void : Effect.asVoid(bootstrap.seed(tenant, seeds)))
  if (options.bootstrap === "skip") return seed

  const prepareSchema = {
    ensure: (tenant: TenantId) => Effect.asVoid(bootstrap.ensure(tenant)),
    verify: bootstrap.verify
  }[options.bootstrap]

  return (tenant: TenantId): Effect.Effect<void, SchemaBootstrapError> =>
    Effect.flatMap(bootstrap.isPrepared(tenant, seeds), (prepared) =>
      prepared ? Effect.void : Effect.andThen(prepareSchema(tenant), seed(tenant))
    )
})

/** What runs before each use of a tenant's database: it prepares it once, or again after it failed. */
export const make = Effect.fnUntraced(function* (options: DatabasePreparationOptions) {
  if (options.bootstrap === "skip" && !options.seedDefaults) return () => Effect.void

  const prepared = yield* Cache.makeWith(yield* prepare(options), {
    capacity: Number.POSITIVE_INFINITY,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero)
  })
  return (tenant: TenantId): Effect.Effect<void, SchemaBootstrapError> => Cache.get(prepared, tenant)
})

/**
 * The tenant whose configuration a fiber reads and writes, and how code sets it.
 *
 * It is a reference in the context of a fiber, so that child fibers inherit it and two requests never see each other's.
 * A single-tenant application need not set it: its connector names the sole tenant.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { ConfigError, InvalidTenantId, TenantMissing } from "../schema/ConfigError.ts"
import * as Tenant from "../schema/TenantId.ts"

/**
 * The tenant on whose behalf the current fiber runs. `None` unless {@link withTenant} set it; child fibers inherit it.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentTenant = Context.Reference<Option.Option<Tenant.TenantId>>(
  "effect-systemplane/services/CurrentTenant",
  { defaultValue: Option.none }
)

/**
 * Runs an effect on behalf of a tenant.
 *
 * **Details**
 *
 * A plain string is checked first: a malformed one fails with `ConfigError` (`InvalidTenantId`) before the effect runs.
 * An id that already is a `TenantId` cannot fail.
 *
 * **Example** (Reading one tenant's configuration)
 *
 * ```ts
 * import { Config, withTenant } from "effect-systemplane"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const limit = Config.get(RequestsPerMinute).pipe(withTenant("acme"))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withTenant: {
  (tenant: Tenant.TenantId): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  (tenant: string): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ConfigError, R>
} =
  (tenant: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, any, R> => {
    const id = remembered(tenant)
    return Option.isSome(id)
      ? Effect.provideService(effect, CurrentTenant, id)
      : Effect.fail(new ConfigError({ reason: InvalidTenantId.from(tenant) }))
  }

/** Ids that were checked already. Bounded, since they come with requests from outside. */
const known = new Map<string, Option.Option<Tenant.TenantId>>()
const mostKnown = 10_000

const remembered = (tenant: string): Option.Option<Tenant.TenantId> => {
  const before = known.get(tenant)
  if (before !== undefined) return before
  const id = Tenant.parse(tenant)
  if (Option.isNone(id)) return id
  if (known.size >= mostKnown) known.clear()
  known.set(tenant, id)
  return id
}

/** The tenant on whose behalf a fiber runs; if none is set, the sole one of a single-tenant application. */
export const tenantOf = (
  fiber: Fiber.Fiber<unknown, unknown>,
  sole: Tenant.TenantId | undefined
): Tenant.TenantId | undefined => {
  const current = fiber.getRef(CurrentTenant)
  return Option.isSome(current) ? current.value : sole
}

/** The failure of an operation that needs a tenant and has none. */
const tenantMissing = Effect.fail(new ConfigError({ reason: new TenantMissing() }))

/** {@link tenantOf} as an effect. */
export const currentTenant = (sole: Tenant.TenantId | undefined): Effect.Effect<Tenant.TenantId, ConfigError> =>
  Effect.withFiber((fiber) => {
    const tenant = tenantOf(fiber, sole)
    return tenant === undefined ? tenantMissing : Effect.succeed(tenant)
  })

/**
 * The tenants that are activated while the plane is built.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ActivationError, BootTimedOut } from "../../schema/ActivationError.ts"
import { InvalidTenantId } from "../../schema/ConfigError.ts"
import type * as Options from "../../schema/Options.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Tenant from "../../schema/TenantId.ts"
import { TenantManager } from "../../services/TenantManager.ts"

/** Activates them, and waits until they are live where `boot` is `"require"`. */
export const boot = Effect.fnUntraced(function* (given: ReadonlyArray<string>, settings: Options.Settings) {
  const manager = yield* TenantManager
  const tenants = yield* Effect.forEach(given, (tenant) =>
    Option.match(Tenant.parse(tenant), {
      onNone: () => Effect.fail(new ActivationError({ reason: InvalidTenantId.from(tenant) })),
      onSome: Effect.succeed
    })
  )
  const activations = Effect.forEach(tenants, settings.boot === "require" ? becomeLive : tryActivate, {
    concurrency: "unbounded",
    discard: true
  })
  yield* settings.boot === "require" ? activations : Effect.forkScoped(activations)

  // The first error of an activation is not the last word: the supervisor keeps trying until the time is up. Two tenants on
  // one database are: no waiting makes them two.
  function becomeLive(tenant: TenantId): Effect.Effect<void, ActivationError> {
    return manager.activate(tenant).pipe(
      Effect.catch((error) => (error.reason._tag === "SameDatabase" ? Effect.fail(error) : manager.awaitLive(tenant))),
      Effect.timeoutOrElse({ duration: settings.bootTimeout, orElse: () => notLive(tenant) })
    )
  }

  function notLive(tenant: TenantId): Effect.Effect<never, ActivationError> {
    const timedOut = new ActivationError({ reason: new BootTimedOut({ tenant, millis: settings.bootTimeout }) })
    return Effect.flatMap(manager.status(tenant), (status) =>
      Effect.fail(Option.getOrUndefined(status)?.lastError ?? timedOut)
    )
  }

  // The status board logs what went wrong.
  function tryActivate(tenant: TenantId): Effect.Effect<void> {
    return Effect.ignore(manager.activate(tenant))
  }
})

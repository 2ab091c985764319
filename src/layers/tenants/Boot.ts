/**
 * The tenants that are activated while the plane is built, and how long building it waits for them: the option `boot`.
 *
 * ```
 *   background   ▶ built at once
 *   settle       ▶ each is live, or its first attempt failed, or bootTimeout is over ▶ built
 *   require      ▶ each is live ▶ built                  bootTimeout is over ▶ fails
 * ```
 *
 * In the last two cases the plane is not built if something can never mend itself: then waiting, or trying on, helps no
 * tenant.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ActivationError, BootTimedOut } from "../../schema/ActivationError.ts"
import type * as Options from "../../schema/Options.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import * as Tenant from "../../schema/TenantId.ts"
import { TenantManager } from "../../services/TenantManager.ts"

/** Activates the tenants, and waits for them as `boot` says. */
export const boot = Effect.fnUntraced(function* (given: ReadonlyArray<string>, settings: Options.Settings) {
  const manager = yield* TenantManager
  const tenants = yield* Effect.forEach(given, (tenant) =>
    Option.match(Tenant.parse(tenant), {
      onNone: () => Effect.fail(ActivationError.ofInvalidId(tenant)),
      onSome: Effect.succeed
    })
  )
  const each = <E>(activation: (tenant: TenantId) => Effect.Effect<void, E>) =>
    Effect.forEach(tenants, activation, { concurrency: "unbounded", discard: true })
  switch (settings.boot) {
    case "background":
      return yield* Effect.forkScoped(each((tenant) => Effect.ignore(manager.activate(tenant))))
    case "settle":
      return yield* each(settle)
    case "require":
      return yield* each(becomeLive)
  }

  /**
   * The first attempt decides how long is waited, not whether the tenant is tried on. The status board logs what went
   * wrong.
   */
  function settle(tenant: TenantId): Effect.Effect<void, ActivationError> {
    return manager.activate(tenant).pipe(
      Effect.catch((error) => (isFinal(error) ? Effect.fail(error) : Effect.void)),
      Effect.timeoutOption(settings.bootTimeout)
    )
  }

  /** The first error of an activation is not the last word: the supervisor keeps trying until the time is up. */
  function becomeLive(tenant: TenantId): Effect.Effect<void, ActivationError> {
    return manager.activate(tenant).pipe(
      Effect.catch((error) => (isFinal(error) || isShared(error) ? Effect.fail(error) : manager.awaitLive(tenant))),
      Effect.timeoutOrElse({ duration: settings.bootTimeout, orElse: () => notLive(tenant) })
    )
  }

  function notLive(tenant: TenantId): Effect.Effect<never, ActivationError> {
    const timedOut = ActivationError.of(tenant, new BootTimedOut({ millis: settings.bootTimeout }))
    return Effect.flatMap(manager.status(tenant), (status) =>
      Effect.fail(Option.getOrUndefined(status)?.lastError ?? timedOut)
    )
  }
})

/** No attempt can ever succeed: only another address in the configuration mends it. */
const isFinal = ({ reason }: ActivationError): boolean => reason._tag === "InvalidAddress"

/** No waiting makes one database two, but it keeps only the later one of two tenants from being live. */
const isShared = ({ reason }: ActivationError): boolean => reason._tag === "DatabaseShared"

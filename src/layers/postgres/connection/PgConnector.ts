/**
 * Connectors for PostgreSQL, over `@effect/sql-pg`: which database belongs to a tenant.
 *
 * An application provides one of the four layers: `layerSingle` for one tenant, `layerRecord` for a fixed set,
 * `layerTemplate` for URLs that name the tenant, and `layerFrom` for a directory or a secret store. The tenant is
 * resolved anew for each connection, so that the next one uses what was rotated. How the connections behave does not
 * depend on the layer.
 *
 * @stability unstable
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ConnectorError, InvalidAddress, ResolverFailed, UnknownTenant } from "../../../schema/ConnectorError.ts"
import { TenantId } from "../../../schema/TenantId.ts"
import { Connector } from "../../../services/Connector.ts"
import { resolveTimeout } from "../../runtime/Timeouts.ts"
import * as ApplicationCode from "../../telemetry/ApplicationCode.ts"
import * as Redaction from "../../telemetry/Redaction.ts"
import * as PgSession from "./PgSession.ts"
import type { PgTarget } from "./PgTarget.ts"

export type { PgTarget } from "./PgTarget.ts"

/**
 * A connector from a function of the tenant id, run for every new client and session, so that secrets can be fetched
 * and rotated.
 *
 * **Details**
 *
 * `None` means that there is no such tenant; the function has 10 seconds to say so. What the function fails or dies
 * with is reported as `ResolverFailed` by the name of the error only, since its text may hold a secret.
 *
 * **Example** (A password from a secret store)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import { PgConnector } from "effect-systemplane"
 * import { directory, vault } from "./infrastructure.ts"
 *
 * const Connector = PgConnector.layerFrom(Effect.fnUntraced(function*(tenant) {
 *   const url = yield* directory.databaseOf(tenant)
 *   const password = yield* vault.read(`databases/${tenant}`)
 *   return Option.some({ url, password })
 * }))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFrom = <E, R>(
  resolve: (tenant: TenantId) => Effect.Effect<Option.Option<PgTarget>, E, R>
): Layer.Layer<Connector, never, R> =>
  Layer.effect(
    Connector,
    Effect.map(Effect.context<R>(), (context) =>
      make((tenant) =>
        resolved(
          tenant,
          // The function itself is called in the tenant's turn too.
          Effect.provide(
            Effect.suspend(() => resolve(tenant)),
            context
          )
        )
      )
    )
  )

/**
 * A connector for an application with one tenant, which then needs no `withTenant`. Its id is `"default"` unless given.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSingle = (options: PgTarget & { readonly tenant?: TenantId | undefined }): Layer.Layer<Connector> => {
  const sole = options.tenant ?? TenantId.make("default")
  return Layer.sync(Connector, () =>
    make((tenant) => (tenant === sole ? Effect.succeed(options) : unknown(tenant)), Option.some(sole))
  )
}

/**
 * A connector for a fixed set of tenants.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRecord = (targets: Readonly<Record<string, PgTarget>>): Layer.Layer<Connector> => {
  const known = new Map(Object.entries(targets))
  return Layer.sync(Connector, () =>
    make((tenant) => {
      const target = known.get(tenant)
      return target === undefined ? unknown(tenant) : Effect.succeed(target)
    })
  )
}

/**
 * A connector whose URLs name the tenant as `{tenant}`: `postgres://app@db/tenant_{tenant}`.
 *
 * **Details**
 *
 * The placeholder may stand anywhere in the URL, more than once. A URL without it would lead all tenants to one
 * database: every tenant then fails with `InvalidAddress`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTemplate = (options: PgTarget): Layer.Layer<Connector> => {
  const fill = (template: Redacted.Redacted, tenant: TenantId) =>
    Redacted.make(Redacted.value(template).replaceAll(placeholder, tenant))
  // A template that is empty, or no text at all, is refused for what it is, and not for the missing placeholder.
  const templates = [options.url, ...(options.listenUrl ? [options.listenUrl] : [])].filter(isUrl)
  const isEmpty = (url: Redacted.Redacted) => Redacted.value(url).trim() === ""
  const everyTenantHasItsOwn = templates.every((url) => isEmpty(url) || Redacted.value(url).includes(placeholder))
  return Layer.sync(Connector, () =>
    make((tenant) =>
      everyTenantHasItsOwn
        ? Effect.map(checked(tenant, options), () => ({
            ...options,
            url: fill(options.url, tenant),
            listenUrl: options.listenUrl && fill(options.listenUrl, tenant)
          }))
        : invalidAddress(tenant, `the template does not contain ${placeholder}`)
    )
  )
}

const placeholder = "{tenant}"

type Target = Effect.Effect<PgTarget, ConnectorError>

const unknown = (tenant: TenantId): Target => Effect.fail(ConnectorError.of(tenant, new UnknownTenant()))

const invalidAddress = (tenant: TenantId, problem: string) =>
  Effect.fail(ConnectorError.of(tenant, new InvalidAddress({ problem })))

/** A text that is not redacted would be shown by whatever logs the target. */
const isUrl = (url: unknown): boolean => Redacted.isRedacted(url) && typeof Redacted.value(url) === "string"

/** A target is what code of others says, perhaps without a compiler. */
const checked = (tenant: TenantId, target: PgTarget): Target => {
  try {
    if (!isUrl(target.url)) return invalidAddress(tenant, "its url is no redacted text; say Redacted.make(url)")
    return target.listenUrl === undefined || isUrl(target.listenUrl)
      ? Effect.succeed(target)
      : invalidAddress(tenant, "its listenUrl is no redacted text; say Redacted.make(listenUrl)")
  } catch {
    return invalidAddress(tenant, "the target that it resolved to cannot be read")
  }
}

/** What code of others resolves a tenant to: in time, and told by the name of the error if it fails. */
const resolved = <E>(tenant: TenantId, resolving: Effect.Effect<Option.Option<PgTarget>, E>): Target =>
  ApplicationCode.apart(resolving).pipe(
    // A resolver may end as an interruption of its own, as one that awaits an interrupted fiber does.
    Effect.flatMap(
      Exit.match({
        onFailure: (cause): Effect.Effect<Option.Option<PgTarget>, ConnectorError> =>
          resolverFailed(tenant, nameOf(cause)),
        onSuccess: Effect.succeed
      })
    ),
    Effect.timeoutOrElse({
      duration: resolveTimeout,
      orElse: () => resolverFailed(tenant, "a timeout")
    }),
    Effect.flatMap(Option.match({ onNone: () => unknown(tenant), onSome: Effect.succeed }))
  )

const resolverFailed = (tenant: TenantId, name: string) =>
  Effect.fail(ConnectorError.of(tenant, new ResolverFailed({ name })))

const nameOf = (cause: Cause.Cause<unknown>): string =>
  Cause.hasInterruptsOnly(cause) ? "an interruption" : Redaction.nameOf(Cause.squash(cause))

const make = (resolve: (tenant: TenantId) => Target, sole: Option.Option<TenantId> = Option.none()) => {
  const target = (tenant: TenantId) => Effect.flatMap(resolve(tenant), (target) => checked(tenant, target))
  return Connector.of({
    sole,
    client: (tenant) => Effect.flatMap(target(tenant), (target) => PgSession.openClient(tenant, target)),
    session: (tenant) => Effect.flatMap(target(tenant), (target) => PgSession.openSession(tenant, target)),
    interchangeable: (tenant) => Effect.map(target(tenant), ({ listenUrl }) => listenUrl === undefined)
  })
}

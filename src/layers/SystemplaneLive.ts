/**
 * The whole graph.
 *
 * ```
 *   Config ──▶ TenantManager ──▶ TenantCache ──▶ ListenFeed ──┐
 *                   │                 └────────▶ EntryStore ──┼──▶ TenantDatabases ──▶ Connector
 *                   └───────▶ SchemaBootstrap ────────────────┘
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ActivationError, BootTimedOut } from "../schema/ActivationError.ts"
import { InvalidTenantId } from "../schema/ConfigError.ts"
import * as Options from "../schema/Options.ts"
import type { TenantId } from "../schema/TenantId.ts"
import * as Tenant from "../schema/TenantId.ts"
import type { Config } from "../services/Config.ts"
import { Connector } from "../services/Connector.ts"
import { type DuplicateKey, KeyRegistry } from "../services/KeyRegistry.ts"
import type { TenantCache } from "../services/TenantCache.ts"
import { TenantManager } from "../services/TenantManager.ts"
import * as CachedConfig from "./CachedConfig.ts"
import * as InProcessTenantCache from "./InProcessTenantCache.ts"
import * as PgEntryStore from "./PgEntryStore.ts"
import * as PgListenFeed from "./PgListenFeed.ts"
import * as PgSchemaBootstrap from "./PgSchemaBootstrap.ts"
import * as StatusBoard from "./StatusBoard.ts"
import * as SupervisedTenantManager from "./SupervisedTenantManager.ts"
import * as Telemetry from "./Telemetry.ts"
import * as TenantDatabases from "./TenantDatabases.ts"

/** What an application gets. */
export type Systemplane = Config | TenantManager | TenantCache | KeyRegistry

/**
 * The plane on PostgreSQL.
 *
 * **Details**
 *
 * Fails with `InvalidOption`, with `DuplicateKey`, or, where `boot` is `"require"`, with the `ActivationError` of a tenant that
 * was not live within `bootTimeout`. Closing the layer drains it with `drainTimeout`.
 *
 * **Gotchas**
 *
 * Each call makes a plane of its own, with its own sessions: call it once, and share the layer.
 *
 * **Example** (Two tenants, a database each)
 *
 * ```ts
 * import { Layer, Redacted } from "effect"
 * import { PgConnector, SystemplaneLive } from "effect-systemplane"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const Plane = SystemplaneLive({ keys: [RequestsPerMinute], tenants: ["acme", "globex"] }).pipe(
 *   Layer.provide(PgConnector.layerTemplate({ url: Redacted.make("postgres://app@db/tenant_{tenant}") }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const SystemplaneLive = (
  options: Options.SystemplaneOptions
): Layer.Layer<Systemplane, Options.InvalidOption | DuplicateKey | ActivationError, Connector> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { sole } = yield* Connector
      const settings = yield* Effect.fromResult(Options.resolve(options))
      const tenants = options.tenants ?? Option.toArray(sole)

      const postgres = Layer.mergeAll(
        PgEntryStore.layer,
        PgSchemaBootstrap.layer,
        PgListenFeed.layer({
          reconnect: settings.reconnect,
          maxConcurrentConnects: settings.maxConcurrentActivations
        })
      ).pipe(Layer.provide(TenantDatabases.layer))

      const engine = SupervisedTenantManager.layer(settings).pipe(
        Layer.provideMerge(InProcessTenantCache.layer(settings)),
        Layer.provide(postgres),
        Layer.provide([StatusBoard.layer, Telemetry.layer(settings)]),
        Layer.provideMerge(KeyRegistry.layer(options.keys))
      )

      return Layer.effectDiscard(boot(tenants, settings)).pipe(
        Layer.provideMerge(CachedConfig.layer({ sole })),
        Layer.provideMerge(engine)
      )
    })
  )

const boot = Effect.fnUntraced(function* (given: ReadonlyArray<string>, settings: Options.Settings) {
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

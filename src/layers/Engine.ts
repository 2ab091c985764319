/**
 * The engine: the graph of all services that do not depend on where entries are stored.
 *
 * ```
 *   Config ──▶ TenantManager ──▶ TenantCache ──▶ ListenFeed
 *                   │                 └────────▶ EntryStore
 *                   └───────▶ SchemaBootstrap
 *   ChangeHistory ──▶ HistoryStore, and TenantCache for what is taken back
 * ```
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Options from "../schema/Options.ts"
import type { TenantId } from "../schema/TenantId.ts"
import type { ChangeHistory } from "../services/ChangeHistory.ts"
import type { Config } from "../services/Config.ts"
import type { EntryStore } from "../services/EntryStore.ts"
import type { HistoryStore } from "../services/HistoryStore.ts"
import type { KeyCatalog } from "../services/KeyCatalog.ts"
import type { KeyDeclarations } from "../services/KeyDeclarations.ts"
import { KeyRegistry } from "../services/KeyRegistry.ts"
import type { ListenFeed } from "../services/ListenFeed.ts"
import type { SchemaBootstrap } from "../services/SchemaBootstrap.ts"
import type { TenantCache } from "../services/TenantCache.ts"
import type { TenantManager } from "../services/TenantManager.ts"
import * as InProcessTenantCache from "./cache/InProcessTenantCache.ts"
import * as DeclaredKeyCatalog from "./catalog/DeclaredKeyCatalog.ts"
import * as CachedConfig from "./config/CachedConfig.ts"
import * as ReconnectSignal from "./feed/ReconnectSignal.ts"
import * as Retention from "./history/Retention.ts"
import * as StoredChangeHistory from "./history/StoredChangeHistory.ts"
import * as ConnectLimiter from "./runtime/ConnectLimiter.ts"
import * as Lifetime from "./runtime/Lifetime.ts"
import * as ApplicationCode from "./telemetry/ApplicationCode.ts"
import * as StatusBoard from "./telemetry/StatusBoard.ts"
import * as Telemetry from "./telemetry/Telemetry.ts"
import * as AwaitedPreparation from "./tenants/AwaitedPreparation.ts"
import { boot } from "./tenants/Boot.ts"
import * as SupervisedTenantManager from "./tenants/SupervisedTenantManager.ts"

/** The services that an application gets. */
export type Systemplane = Config | TenantManager | TenantCache | KeyRegistry | ChangeHistory | KeyCatalog

/** The services that a technology implements: storage, its preparation, and the feed of changes. */
export type Backend = EntryStore | ListenFeed | SchemaBootstrap | HistoryStore | KeyDeclarations

/** The plane over a backend. `sole` is the one tenant of a single-tenant application. */
export const layer = <E, R>(
  options: Options.SystemplaneOptions,
  sole: Option.Option<TenantId>,
  backend: (settings: Options.Settings) => Layer.Layer<Backend, E, R>
) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const settings = yield* Effect.fromResult(Options.resolve(options))

      const engine = Retention.layer(settings).pipe(
        Layer.provideMerge(Layer.merge(SupervisedTenantManager.layer(settings), StoredChangeHistory.layer({ sole }))),
        Layer.provideMerge(InProcessTenantCache.layer(settings)),
        Layer.provideMerge(DeclaredKeyCatalog.layer({ sole, declaredBy: settings.declaredBy })),
        Layer.provide(AwaitedPreparation.layer),
        Layer.provide(backend(settings)),
        Layer.provide([StatusBoard.layer, ConnectLimiter.layer(settings), ReconnectSignal.layer(settings)]),
        // Below the board, which reports every tenant to it.
        Layer.provide(Telemetry.layer(settings)),
        Layer.provideMerge(KeyRegistry.layer(options.keys))
      )

      const plane = Layer.effectDiscard(boot(options.tenants ?? Option.toArray(sole), settings)).pipe(
        Layer.provideMerge(CachedConfig.layer({ sole })),
        Layer.provideMerge(engine),
        Layer.provide(Lifetime.layer(settings)),
        Layer.provide(ApplicationCode.layer)
      )
      // A layer that is one value is built once: two planes in one program would share the services of this one.
      return Layer.fresh(plane)
    })
  )

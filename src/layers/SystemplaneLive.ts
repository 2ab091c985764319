/**
 * The whole graph of the plane on PostgreSQL: which service uses which, down to the connector.
 *
 * ```
 *   Config ──▶ TenantManager ──▶ TenantCache ──▶ ListenFeed ──┐
 *                   │                 └────────▶ EntryStore ──┼──▶ PgDatabases ──▶ Connector
 *                   └───────▶ SchemaBootstrap ────────────────┘
 *   ╰───────────────────── Engine ──────────────────────────╯
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ActivationError } from "../schema/ActivationError.ts"
import type * as Options from "../schema/Options.ts"
import { Connector } from "../services/Connector.ts"
import type { DuplicateKey } from "../services/KeyRegistry.ts"
import * as Engine from "./Engine.ts"
import * as PgDatabases from "./postgres/PgDatabases.ts"
import * as PgEntryStore from "./postgres/PgEntryStore.ts"
import * as PgHistoryStore from "./postgres/PgHistoryStore.ts"
import * as PgKeyDeclarations from "./postgres/PgKeyDeclarations.ts"
import * as PgListenFeed from "./postgres/PgListenFeed.ts"
import * as PgSchemaBootstrap from "./postgres/PgSchemaBootstrap.ts"

/**
 * The plane on PostgreSQL.
 *
 * **Details**
 *
 * Fails with `InvalidOption`, with `DuplicateKey`, or, if `boot` is `"require"`, with the `ActivationError` of a
 * tenant that was not live within `bootTimeout`. Closing the layer drains it with `drainTimeout`.
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
): Layer.Layer<Engine.Systemplane, Options.InvalidOption | DuplicateKey | ActivationError, Connector> =>
  Layer.unwrap(Effect.map(Connector, ({ sole }) => Engine.layer(options, sole, postgres)))

const postgres = (settings: Options.Settings) =>
  Layer.mergeAll(
    PgEntryStore.layer,
    PgHistoryStore.layer,
    PgKeyDeclarations.layer,
    PgSchemaBootstrap.layer({ followed: true, history: settings.history !== undefined }),
    PgListenFeed.layer({
      maxStaleness: settings.maxStaleness,
      history: settings.history !== undefined,
      prepared: settings.bootstrap !== "skip"
    })
  ).pipe(Layer.provide(PgDatabases.layer))

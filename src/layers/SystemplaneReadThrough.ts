/**
 * The plane without a cache and without a feed.
 *
 * Every read is a statement, and a write is the same as in `SystemplaneLive`. It is for functions and scripts that end
 * before a feed would pay. Subscriptions and handles have nothing to follow here, and fail with `NotSupported`.
 *
 * ```
 *   Config ──┬──▶ EntryStore ──────┬──▶ PgDatabases ──▶ Connector
 *            └──▶ SchemaBootstrap ─┘
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import * as Options from "../schema/Options.ts"
import type { Config } from "../services/Config.ts"
import { Connector } from "../services/Connector.ts"
import { type DuplicateKey, KeyRegistry } from "../services/KeyRegistry.ts"
import * as ReadThroughConfig from "./config/ReadThroughConfig.ts"
import * as PgDatabases from "./postgres/PgDatabases.ts"
import * as PgEntryStore from "./postgres/PgEntryStore.ts"
import * as PgHistoryStore from "./postgres/PgHistoryStore.ts"
import * as PgSchemaBootstrap from "./postgres/PgSchemaBootstrap.ts"
import * as ConnectLimiter from "./runtime/ConnectLimiter.ts"
import * as Lifetime from "./runtime/Lifetime.ts"
import * as ApplicationCode from "./telemetry/ApplicationCode.ts"

/**
 * Options of `SystemplaneReadThrough`. Nothing is prepared unless asked for: a function that starts a thousand times a
 * minute should not inspect the catalog a thousand times.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadThroughOptions {
  /** The declared keys. */
  readonly keys: ReadonlyArray<ConfigKey.Any>
  /**
   * What is done about a tenant's schema before this process first uses its database. `"skip"` (default): nothing.
   * `"verify"`: fail if anything is missing or outdated. `"ensure"`: create or upgrade it.
   */
  readonly bootstrap?: "ensure" | "verify" | "skip" | undefined
  /** Write missing defaults as rows before this process first uses a tenant's database. Default `false`. */
  readonly seedDefaults?: boolean | undefined
}

/**
 * The plane for serverless functions, scripts and other processes that live too briefly to follow anything.
 *
 * **When to use**
 *
 * Use it if a process reads a few keys and ends. A service that stays up should use `SystemplaneLive`: a read costs it
 * no I/O.
 *
 * **Details**
 *
 * Every read is one statement on the tenant's database, `snapshot`, `getGroup` and `list` too, however many keys there
 * are. So every value is as fresh as the database, and `stale` is never set. No session listens, and no fiber runs in
 * the background. A tenant's client is opened by its first read, with one more statement that identifies the database,
 * and closed after 10 seconds without use.
 *
 * Writes are those of `SystemplaneLive`: guarded, atomic, with a definite outcome. For a row that does not decode the
 * newest value of the history that does is in force, else the default; it is logged once per process and row. If the
 * database does not answer, reads fail with `Unavailable`, and `getOrDefault` answers the default.
 *
 * Tenants need no activation, hence there is no `TenantManager` and no `TenantCache`. Fails with `InvalidOption` or
 * `DuplicateKey`; building it needs no database.
 *
 * **Gotchas**
 *
 * There is nothing to follow: `handle` and `watch` fail with `NotSupported`. `changes` and `onChange` have no error in
 * their type, since a subscription in `SystemplaneLive` cannot fail; here they die with that same `ConfigError`.
 *
 * **Example** (A function that reads one key)
 *
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { Config, PgConnector, SystemplaneReadThrough, withTenant } from "effect-systemplane"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const url = Redacted.make(process.env.DATABASE_URL_TEMPLATE ?? "postgres://app@pooler/tenant_{tenant}")
 * const Plane = SystemplaneReadThrough({ keys: [RequestsPerMinute], bootstrap: "ensure" }).pipe(
 *   Layer.provide(PgConnector.layerTemplate({ url, maxConnections: 1 }))
 * )
 *
 * const limit = await Config.get(RequestsPerMinute).pipe(withTenant("acme"), Effect.provide(Plane), Effect.runPromise)
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const SystemplaneReadThrough = (
  options: ReadThroughOptions
): Layer.Layer<Config | KeyRegistry, Options.InvalidOption | DuplicateKey, Connector> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { sole } = yield* Connector
      const settings = yield* Effect.fromResult(
        Options.resolve({
          keys: options.keys,
          bootstrap: options.bootstrap ?? "skip",
          seedDefaults: options.seedDefaults ?? false
        })
      )
      const plane = ReadThroughConfig.layer({ ...settings, sole }).pipe(
        Layer.provide([PgEntryStore.layer, PgHistoryStore.layer, PgSchemaBootstrap.layer({ followed: false })]),
        Layer.provide(PgDatabases.layer),
        Layer.provide(Lifetime.layer(settings)),
        Layer.provide(ConnectLimiter.layer(settings)),
        Layer.provideMerge(KeyRegistry.layer(options.keys)),
        Layer.provide(ApplicationCode.layer)
      )
      // As in Engine: two planes in one program share nothing.
      return Layer.fresh(plane)
    })
  )

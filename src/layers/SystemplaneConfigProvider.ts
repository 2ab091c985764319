/**
 * Effect's own `Config`, served from the plane.
 *
 * It is for code that is written against `effect/Config` and knows nothing of tenants. Names are matched as
 * environments spell them. It follows nothing: each look-up is a read of the plane's `Config` for the current tenant.
 *
 * @since 0.1.0
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type { ConfigError } from "../schema/ConfigError.ts"
import type { ConfigKey } from "../schema/ConfigKey.ts"
import * as ConfigNames from "../schema/ConfigProviderNames.ts"
import * as WriteRequest from "../schema/WriteRequest.ts"
import { Config } from "../services/Config.ts"
import { KeyRegistry } from "../services/KeyRegistry.ts"

/**
 * Serves code that is written against `effect/Config` from the plane, for the current tenant.
 *
 * **Details**
 *
 * Every look-up reads the key anew, so that the next one sees a change. It does no I/O while the tenant is live.
 *
 * The key `rate-limits/requests-per-minute` is found as `REQUESTS_PER_MINUTE`, as `RATE_LIMITS_REQUESTS_PER_MINUTE`,
 * and by the path of its two names; upper and lower case, `-`, `_` and camel case make no difference. The layer fails
 * with `CollidingNames` if two keys have one name. A namespace is a record of its keys: `Config.schema(schema,
 * "rate-limits")`.
 *
 * A document appears as nested paths, `["checkout", "enabled"]`, and an array as an indexed one; so structs and
 * `Config.nested` work. If a name can be read in two ways, the longest name of a key wins. `null` counts as missing.
 *
 * A name of no key is looked up in the provider that was there before, by default the environment. A name of a key
 * never is: if the plane cannot answer, or no tenant is set, the look-up fails with a `SourceError`.
 *
 * **Gotchas**
 *
 * `effect/Config` looks up the fields of a struct one by one, so a change may fall between them. A document is also
 * there as the text of its JSON, which is one look-up: `Config.schema(Schema.fromJsonString(schema), "CHECKOUT")`.
 *
 * Errors of `effect/Config` may repeat a value that does not decode. Read a secret key with `Config.Redacted`.
 *
 * **Example** (Code that knows nothing of tenants)
 *
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { SystemplaneConfigProvider, withTenant } from "effect-systemplane"
 * import { SystemplaneMemory } from "effect-systemplane/testing"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const limit = Config.Int("REQUESTS_PER_MINUTE")
 *
 * // SystemplaneLive or SystemplaneReadThrough in an application.
 * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute], tenants: ["acme"] })
 * const Provider = SystemplaneConfigProvider.layer.pipe(Layer.provide(Plane))
 *
 * await limit.pipe(withTenant("acme"), Effect.provide(Provider), Effect.runPromise) // 600
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, ConfigNames.CollidingNames, Config | KeyRegistry> = Layer.effect(
  ConfigProvider.ConfigProvider,
  Effect.suspend(() => make(true))
)

/**
 * As {@link layer}, but without the short names: `rate-limits/requests-per-minute` is found as
 * `RATE_LIMITS_REQUESTS_PER_MINUTE` and by the path of its two names. For applications with keys of one name in several
 * namespaces.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNamespaced: Layer.Layer<never, ConfigNames.CollidingNames, Config | KeyRegistry> = Layer.effect(
  ConfigProvider.ConfigProvider,
  Effect.suspend(() => make(false))
)

const make = Effect.fnUntraced(function* (short: boolean) {
  const config = yield* Config
  const registry = yield* KeyRegistry
  const fallback = yield* ConfigProvider.ConfigProvider
  const find = yield* Effect.fromResult(ConfigNames.make(registry.keys, short))

  const read = (key: ConfigKey.Any): Effect.Effect<Schema.Json, ConfigProvider.SourceError> =>
    config.get(key).pipe(
      Effect.flatMap((value) => Effect.fromResult(WriteRequest.encode(key, value))),
      Effect.mapError(sourceError)
    )

  return ConfigProvider.make((path) => {
    const found = find(path)
    switch (found?._tag) {
      case "Key":
        return Effect.map(read(found.key), (value) => nodeOf(ConfigNames.within(value, found.rest)))
      case "Names":
        return Effect.map(fallback.load(path), (node) => withNames(node, found.names))
      case undefined:
        return fallback.load(path)
    }
  })
})

const sourceError = (cause: ConfigError) => new ConfigProvider.SourceError({ message: cause.message, cause })

const nodeOf = (value: Schema.Json | undefined): ConfigProvider.Node | undefined => {
  if (value === undefined || value === null) return undefined
  if (Array.isArray(value)) return ConfigProvider.makeArray(value.length, JSON.stringify(value))
  return typeof value === "object"
    ? ConfigProvider.makeRecord(new Set(Object.keys(value)), JSON.stringify(value))
    : ConfigProvider.makeValue(String(value))
}

/** A namespace, together with what the other provider holds under its name. */
const withNames = (node: ConfigProvider.Node | undefined, names: ReadonlyArray<string>): ConfigProvider.Node =>
  ConfigProvider.makeRecord(new Set([...(node?._tag === "Record" ? node.keys : []), ...names]), node?.value)

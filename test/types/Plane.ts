/** The types of the layers and of the services around `Config`. Nothing here is run. */
import type { Effect, Layer, Option, Redacted, Stream } from "effect"
import { Effect as E } from "effect"
import {
  type ActivationError,
  type CollidingNames,
  type Config,
  type Connector,
  type DrainReport,
  type DuplicateKey,
  type InvalidOption,
  type KeyRegistry,
  PgConnector,
  type Systemplane,
  SystemplaneConfigProvider,
  SystemplaneLive,
  SystemplaneReadThrough,
  TenantManager,
  type TenantStatus
} from "effect-systemplane"
import { expectTypeOf } from "vitest"

expectTypeOf(SystemplaneLive({ keys: [] })).toEqualTypeOf<
  Layer.Layer<Systemplane, InvalidOption | DuplicateKey | ActivationError, Connector>
>()
// @ts-expect-error: keys are required
SystemplaneLive({})
// @ts-expect-error
SystemplaneLive({ keys: [], boot: "later" })

expectTypeOf(SystemplaneReadThrough({ keys: [] })).toEqualTypeOf<
  Layer.Layer<Config | KeyRegistry, InvalidOption | DuplicateKey, Connector>
>()
// @ts-expect-error: there is no tenant to activate
SystemplaneReadThrough({ keys: [], tenants: ["acme"] })

expectTypeOf(SystemplaneConfigProvider.layer).toEqualTypeOf<Layer.Layer<never, CollidingNames, Config | KeyRegistry>>()
expectTypeOf(SystemplaneConfigProvider.layerNamespaced).toEqualTypeOf<typeof SystemplaneConfigProvider.layer>()

declare const url: Redacted.Redacted
expectTypeOf(PgConnector.layerSingle({ url })).toEqualTypeOf<Layer.Layer<Connector>>()
expectTypeOf(PgConnector.layerRecord({ acme: { url } })).toEqualTypeOf<Layer.Layer<Connector>>()
expectTypeOf(PgConnector.layerTemplate({ url })).toEqualTypeOf<Layer.Layer<Connector>>()
declare const resolve: () => Effect.Effect<Option.Option<PgConnector.PgTarget>, Error, "a secret store">
expectTypeOf(PgConnector.layerFrom(resolve)).toEqualTypeOf<Layer.Layer<Connector, never, "a secret store">>()
// @ts-expect-error: a URL may hold a password, so it is redacted
PgConnector.layerSingle({ url: "postgres://localhost/app" })

E.gen(function* () {
  const manager = yield* TenantManager
  expectTypeOf(manager.activate("acme")).toEqualTypeOf<Effect.Effect<void, ActivationError>>()
  expectTypeOf(manager.suspend("acme")).toEqualTypeOf<Effect.Effect<void, ActivationError>>()
  expectTypeOf(manager.remove("acme")).toEqualTypeOf<Effect.Effect<void, ActivationError>>()
  expectTypeOf(manager.rotateCredentials("acme")).toEqualTypeOf<Effect.Effect<void, ActivationError>>()
  expectTypeOf(manager.awaitLive("acme")).toEqualTypeOf<Effect.Effect<void, ActivationError>>()
  expectTypeOf(manager.status("acme")).toEqualTypeOf<Effect.Effect<Option.Option<TenantStatus>>>()
  expectTypeOf(manager.statuses).toEqualTypeOf<Effect.Effect<ReadonlyArray<TenantStatus>>>()
  expectTypeOf(manager.statusChanges).toEqualTypeOf<Stream.Stream<TenantStatus>>()
  expectTypeOf(manager.drain()).toEqualTypeOf<Effect.Effect<DrainReport>>()
  expectTypeOf(manager.isClosed).toEqualTypeOf<Effect.Effect<boolean>>()
})

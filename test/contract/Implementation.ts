/** What a contract is run against: the services one by one and the whole plane, for tenant acme. */
import { Effect, Layer } from "effect"
import {
  type EntryStore,
  type HistoryStore,
  type KeyDeclarations,
  type ListenFeed,
  Reconnect,
  type SchemaBootstrap,
  type Systemplane,
  type SystemplaneOptions,
  withTenant
} from "effect-systemplane"
import * as ReconnectSignal from "../../src/layers/feed/ReconnectSignal.ts"
import * as Telemetry from "../../src/layers/telemetry/Telemetry.ts"
import { KeyRegistry } from "../../src/services/KeyRegistry.ts"
import * as keys from "../support/keys.ts"
import { limiter } from "../support/limiter.ts"
import { silent } from "../support/TestPlane.ts"
import type { Acme } from "./Acme.ts"

export type PlaneOptions = Partial<SystemplaneOptions>

export interface Implementation<Database> {
  readonly name: string
  /** What all tests of a suite share. */
  readonly database: Layer.Layer<Database>
  /** Each build begins with an empty database. */
  readonly services: Layer.Layer<
    EntryStore | SchemaBootstrap | ListenFeed | HistoryStore | KeyDeclarations | Acme,
    never,
    Database
  >
  /** Each build begins with an empty database; acme is activated at boot unless `tenants` says otherwise. */
  readonly plane: (options?: PlaneOptions) => Layer.Layer<Systemplane | Acme, Error, Database>
}

type OnPlane = Effect.Effect<unknown, unknown, Systemplane | Acme>

/** Tests on behalf of acme, each on a plane of its own. */
export const onPlane =
  <Database, R>(
    effect: (title: string, test: () => Effect.Effect<unknown, unknown, Database>) => R,
    plane: Implementation<Database>["plane"]
  ) =>
  (title: string, test: OnPlane, options: PlaneOptions = {}): R =>
    effect(title, () => test.pipe(withTenant("acme"), Effect.provide(plane(options))))

export const reconnect = Reconnect.schedule({ base: 20, cap: 200 })

/** What services need that are built one by one. */
export const below = Layer.mergeAll(
  limiter(),
  Layer.orDie(KeyRegistry.layer(keys.all)),
  ReconnectSignal.layer({ reconnect }),
  Telemetry.layer({ aggregateTenantThreshold: 1_000 })
).pipe(Layer.merge(silent))

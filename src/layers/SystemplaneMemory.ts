/**
 * The plane without a database.
 *
 * The engine is the one of `SystemplaneLive`; only what is below the statements is replaced, by a table in memory and a
 * driver that breaks connections to it. It is for tests, also of applications, and for examples. What it does not model
 * is listed with the layer.
 *
 * ```
 *   Config ──▶ TenantManager ──▶ TenantCache ──▶ ListenFeed ──┐
 *                   │                 └────────▶ EntryStore ──┼──▶ MemoryDatabases ◀── MemoryDriver
 *                   └───────▶ SchemaBootstrap ────────────────┘
 *   ╰───────────────────── Engine ──────────────────────────╯
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type { ActivationError } from "../schema/ActivationError.ts"
import { ConfigError, InvalidValue } from "../schema/ConfigError.ts"
import type { Assignment, ConfigKey } from "../schema/ConfigKey.ts"
import * as JsonText from "../schema/JsonText.ts"
import * as Options from "../schema/Options.ts"
import * as Tenant from "../schema/TenantId.ts"
import type { DuplicateKey } from "../services/KeyRegistry.ts"
import type { MemoryDriver } from "../services/MemoryDriver.ts"
import * as Engine from "./Engine.ts"
import * as MemoryClients from "./memory/MemoryClients.ts"
import * as MemoryDatabases from "./memory/MemoryDatabases.ts"
import * as MemoryEntryStore from "./memory/MemoryEntryStore.ts"
import * as MemoryHistoryStore from "./memory/MemoryHistoryStore.ts"
import * as MemoryKeyDeclarations from "./memory/MemoryKeyDeclarations.ts"
import * as MemoryListenFeed from "./memory/MemoryListenFeed.ts"
import * as MemorySchemaBootstrap from "./memory/MemorySchemaBootstrap.ts"

/**
 * Options of `SystemplaneMemory`.
 *
 * @category models
 * @since 0.1.0
 */
export interface SystemplaneMemoryOptions extends Options.SystemplaneOptions {
  /**
   * The one tenant of a single-tenant application, which then needs no `withTenant`, as with `PgConnector.layerSingle`.
   * Default: many tenants, each with a database that is created when it is first mentioned.
   */
  readonly soleTenant?: string | undefined
  /**
   * The driver of another plane, to work on its databases as a second process does. Faults are each plane's own.
   * Default: databases of its own.
   */
  readonly beside?: MemoryDriver["Service"] | undefined
}

/**
 * The plane without a database, for tests: everything above the statements is the code that runs on PostgreSQL.
 *
 * **Details**
 *
 * Besides the plane it provides `MemoryDriver`, which writes as another process does and breaks connections. Time is
 * that of the clock: under `TestClock` only the test lets things happen, and delays are the same in every run unless a
 * `Random` is provided. Fails as `SystemplaneLive` does. Closing the layer drains the plane; its databases live as long
 * as the driver is referenced.
 *
 * The same as on PostgreSQL: revisions, atomic transactions, `ifRevision`, seeding, notifications of names only, reads
 * that see one state, reconnecting, staleness, lifecycle, and what `jsonb` makes of values. The same contract tests run
 * on both.
 *
 * **Gotchas**
 *
 * Not modelled: row locks (statements run one after another, so that no statement waits for another transaction), roles
 * and schema work (the table is always there, `bootstrap` finds nothing to do), the size of the pool, two tenants on
 * one database, and numbers beyond what JavaScript can express (refused here, kept by PostgreSQL).
 *
 * **Example** (A plane for a test, and a change by another process)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Config, withTenant } from "effect-systemplane"
 * import { MemoryDriver, SystemplaneMemory } from "effect-systemplane/testing"
 * import { RequestsPerMinute } from "./keys.ts"
 *
 * const test = Effect.gen(function*() {
 *   const acme = yield* MemoryDriver.tenant("acme")
 *   yield* acme.write(RequestsPerMinute, 5)
 *   const seen = yield* Config.watch(RequestsPerMinute).pipe(
 *     Stream.filter(({ value }) => value === 5),
 *     Stream.runHead,
 *     withTenant("acme")
 *   )
 *   return seen
 * })
 *
 * const Plane = SystemplaneMemory({ keys: [RequestsPerMinute], tenants: ["acme"] })
 * await Effect.runPromise(test.pipe(Effect.provide(Plane)))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const SystemplaneMemory: {
  (
    options: SystemplaneMemoryOptions
  ): Layer.Layer<Engine.Systemplane | MemoryDriver, Options.InvalidOption | DuplicateKey | ActivationError>
  /**
   * A plane in which these values are stored, for tests that need values and nothing else.
   *
   * **Details**
   *
   * A list of values is what every tenant has, and a read needs no tenant; a record of lists is what each tenant of it
   * has. A key that is given no value is at its default if `keys` declares it. A value that does not fit its key, and
   * everything else that keeps the layer from being built, is a defect.
   *
   * **Example** (A limit of 5)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { Config, ConfigKey, withTenant } from "effect-systemplane"
   * import { SystemplaneMemory } from "effect-systemplane/testing"
   * import { RequestsPerMinute } from "./keys.ts"
   *
   * const limit = Config.get(RequestsPerMinute)
   *
   * const Values = SystemplaneMemory.values([ConfigKey.value(RequestsPerMinute, 5)])
   * await limit.pipe(Effect.provide(Values), Effect.runPromise) // 5
   *
   * const PerTenant = SystemplaneMemory.values({
   *   acme: [ConfigKey.value(RequestsPerMinute, 5)],
   *   globex: [ConfigKey.value(RequestsPerMinute, 7)]
   * })
   * await limit.pipe(withTenant("globex"), Effect.provide(PerTenant), Effect.runPromise) // 7
   * ```
   *
   * @since 0.1.0
   */
  readonly values: (
    values: ReadonlyArray<Assignment.Any> | Readonly<Record<string, ReadonlyArray<Assignment.Any>>>,
    options?: { readonly keys?: ReadonlyArray<ConfigKey.Any> | undefined }
  ) => Layer.Layer<Engine.Systemplane | MemoryDriver>
} = Object.assign(
  (options: SystemplaneMemoryOptions) =>
    Layer.unwrap(
      Effect.gen(function* () {
        const sole = yield* soleTenant(options)
        return planeOf(options, sole, { sole, beside: options.beside })
      })
    ),
  {
    values: (
      values: ReadonlyArray<Assignment.Any> | Readonly<Record<string, ReadonlyArray<Assignment.Any>>>,
      options: { readonly keys?: ReadonlyArray<ConfigKey.Any> | undefined } = {}
    ) =>
      Layer.unwrap(
        Effect.sync(() => {
          const perTenant = Array.isArray(values)
            ? undefined
            : (values as Record<string, ReadonlyArray<Assignment.Any>>)
          const given =
            perTenant === undefined ? (values as ReadonlyArray<Assignment.Any>) : Object.values(perTenant).flat()
          const rows = new Map(given.map((assignment) => [assignment, rowOf(assignment)]))
          const of = (tenant: Tenant.TenantId) => {
            if (perTenant === undefined) return given
            return Object.hasOwn(perTenant, tenant) ? perTenant[tenant]! : []
          }
          return planeOf(
            {
              keys: [...new Set([...given.map(({ key }) => key), ...(options.keys ?? [])])],
              tenants: perTenant === undefined ? [] : Object.keys(perTenant),
              seedDefaults: false
            },
            perTenant === undefined ? Option.some(Tenant.TenantId.make("test")) : Option.none(),
            {
              sole: Option.none(),
              beside: undefined,
              initial: (tenant) => of(tenant).map((assignment) => rows.get(assignment)!)
            }
          )
        })
      ).pipe(Layer.orDie)
  }
)

/** The row that holds a value; throws if the value does not fit. */
const rowOf = ({ key, value }: Assignment.Any) => ({
  namespace: key.namespace,
  key: key.key,
  json: Result.getOrThrowWith(
    Result.flatMap(key.encode(value), JsonText.encode),
    (problem) =>
      new ConfigError({ reason: new InvalidValue({ problems: [{ namespace: key.namespace, key: key.key, problem }] }) })
  ),
  actor: "test"
})

const planeOf = (
  options: Options.SystemplaneOptions,
  sole: Option.Option<Tenant.TenantId>,
  databases: MemoryDatabases.MemoryDatabasesOptions
) =>
  Layer.unwrap(
    Effect.map(drawn, (random) =>
      Engine.layer(options, sole, () => backend).pipe(
        Layer.provideMerge(MemoryDatabases.layer(databases)),
        Layer.provide(Layer.succeed(Random.Random, random))
      )
    )
  )

/** The source of random delays: the caller's `Random` if it provides one, else the same numbers in every run. */
const drawn = Effect.contextWith((context: Context.Context<never>) =>
  Context.getOption(context, Random.Random).pipe(
    Option.filter(() => context.mapUnsafe.has(Random.Random.key)),
    Option.match({
      onSome: Effect.succeed,
      onNone: () => Random.withSeed(Effect.service(Random.Random), "effect-systemplane")
    })
  )
)

const soleTenant = ({ soleTenant }: SystemplaneMemoryOptions) => {
  if (soleTenant === undefined) return Effect.succeedNone
  const tenant = Tenant.parse(soleTenant)
  return Option.isSome(tenant)
    ? Effect.succeed(tenant)
    : Effect.fail(new Options.InvalidOption({ option: "soleTenant", expected: "a tenant id" }))
}

/** What the engine needs, over databases in memory. */
export const backend = Layer.mergeAll(
  MemoryEntryStore.layer,
  MemoryHistoryStore.layer,
  MemoryKeyDeclarations.layer,
  MemorySchemaBootstrap.layer,
  MemoryListenFeed.layer
).pipe(Layer.provide(MemoryClients.layer))

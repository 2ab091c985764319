/**
 * The plane without a database.
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
import type { ActivationError } from "../schema/ActivationError.ts"
import * as Options from "../schema/Options.ts"
import * as Tenant from "../schema/TenantId.ts"
import type { DuplicateKey } from "../services/KeyRegistry.ts"
import type { MemoryDriver } from "../services/MemoryDriver.ts"
import * as Engine from "./Engine.ts"
import * as MemoryClients from "./memory/MemoryClients.ts"
import * as MemoryDatabases from "./memory/MemoryDatabases.ts"
import * as MemoryEntryStore from "./memory/MemoryEntryStore.ts"
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
   * The one tenant of a single-tenant application, which then needs no `withTenant`, as with `PgConnector.layerSingle`. Default:
   * many tenants, each with a database that comes into being when first mentioned.
   */
  readonly soleTenant?: string | undefined
  /**
   * The driver of another plane, to work on its databases as a second process does. Faults are each plane's own. Default:
   * databases of its own.
   */
  readonly beside?: MemoryDriver["Service"] | undefined
}

/**
 * The plane with no database, for tests: everything above the statements is the very code that runs on PostgreSQL.
 *
 * **Details**
 *
 * Besides the plane it provides `MemoryDriver`, which writes as another process does and breaks connections. Time is the
 * clock's: under `TestClock` nothing happens but what a test lets happen, and delays are the same in every run unless a `Random`
 * is provided. Fails as `SystemplaneLive` does. Closing the layer drains the plane; its databases live as long as the driver is
 * referenced.
 *
 * The same as on PostgreSQL: revisions, atomic transactions, `ifRevision`, seeding, notifications of names only, reads that see
 * one state, reconnecting, staleness, lifecycle, and what `jsonb` makes of values. The same contract tests run on both.
 *
 * **Gotchas**
 *
 * Not modelled: row locks (statements run one after another, so that nobody ever waits for another's transaction), roles and
 * schema work (the table is always there, `bootstrap` finds nothing to do), the size of the pool, two tenants on one database,
 * and numbers beyond what JavaScript can express (refused here, kept by PostgreSQL).
 *
 * **Example** (A plane for a test, and a change by somebody else)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Config, MemoryDriver, SystemplaneMemory, withTenant } from "effect-systemplane"
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
 * await Effect.runPromise(test.pipe(Effect.provide(SystemplaneMemory({ keys: [RequestsPerMinute], tenants: ["acme"] }))))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const SystemplaneMemory = (
  options: SystemplaneMemoryOptions
): Layer.Layer<Engine.Systemplane | MemoryDriver, Options.InvalidOption | DuplicateKey | ActivationError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const sole = yield* soleTenant(options)
      return Engine.layer(options, sole, memory).pipe(
        Layer.provideMerge(MemoryDatabases.layer({ sole, beside: options.beside })),
        Layer.provide(Layer.succeed(Random.Random, yield* drawn))
      )
    })
  )

/** What delays are drawn from: the caller's `Random` if it provides one, else the same numbers in every run. */
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

const memory = (settings: Options.Settings) =>
  Layer.mergeAll(
    MemoryEntryStore.layer(),
    MemorySchemaBootstrap.layer(),
    MemoryListenFeed.layer({ reconnect: settings.reconnect })
  ).pipe(Layer.provide(MemoryClients.layer()))

/**
 * What a plane keeps of tenants that came and went: ids that reads carried, waits that timed out, watches that were closed, tenants
 * that were activated and removed. Each is bounded, so a plane that has seen a million of each holds no more than one that has
 * seen some thousands.
 *
 * The engine runs over a backend that keeps nothing, and over the layers of PostgreSQL with a connector that knows no tenant.
 * `npm run check:growth` runs it with a hundred thousand of each, a test with some hundreds. It needs `--expose-gc`.
 */
import { Effect, Layer, Option, References, Schema, Stream } from "effect"
import {
  Config,
  ConfigKey,
  Connector,
  ConnectorError,
  SystemplaneLive,
  type SystemplaneOptions,
  TenantManager,
  withTenant
} from "../src/index.ts"
import * as Engine from "../src/layers/Engine.ts"
import { EntryStore } from "../src/services/EntryStore.ts"
import { HistoryStore } from "../src/services/HistoryStore.ts"
import { KeyDeclarations } from "../src/services/KeyDeclarations.ts"
import { ListenFeed } from "../src/services/ListenFeed.ts"
import { SchemaBootstrap } from "../src/services/SchemaBootstrap.ts"

const Limit = ConfigKey.make("growth", "limit", { schema: Schema.Int, defaultValue: 600 })

const options: SystemplaneOptions = { keys: [Limit], maxConnectsPerSecond: 1_000_000, maxConcurrentActivations: 64 }

/** What is asked of it is a fault of this program. */
const unused = (): any => Effect.die(new Error("not asked"))

/** Databases without a row. */
const empty = Layer.mergeAll(
  Layer.succeed(EntryStore, {
    read: () => Effect.succeed(Option.none()),
    diff: () => () => Effect.succeed([]),
    write: unused,
    outcome: unused,
    fence: unused,
    release: () => Effect.void
  }),
  Layer.succeed(ListenFeed, {
    events: () =>
      Stream.concat(
        Stream.succeed({
          _tag: "Connected" as const,
          session: { diff: () => Effect.succeed([]), confirm: Effect.void, abandon: Effect.void }
        }),
        Stream.never
      )
  }),
  Layer.succeed(SchemaBootstrap, {
    isPrepared: () => Effect.succeed(true),
    ensure: unused,
    verify: unused,
    seed: unused,
    abandon: () => Effect.void
  }),
  Layer.succeed(HistoryStore, {
    changes: unused,
    ofKey: unused,
    ofRevision: unused,
    recall: () => Effect.succeed([]),
    ofChange: unused,
    at: unused,
    since: unused,
    verify: unused,
    purge: unused
  }),
  Layer.succeed(KeyDeclarations, { declare: () => Effect.succeed({ written: 0, undeclared: 0 }), read: unused })
)

const plane = Layer.provideMerge(
  Engine.layer(options, Option.none(), () => empty),
  Layer.succeed(References.MinimumLogLevel, "None")
)

const missing = (tenant: ConnectorError["tenant"]) =>
  Effect.fail(ConnectorError.of(tenant, new ConnectorError.UnknownTenant({})))

const planeWithoutTenants = SystemplaneLive({ ...options, activation: "explicit" }).pipe(
  Layer.provide(
    Layer.succeed(Connector, { sole: Option.none(), client: missing, session: missing, interchangeable: undefined })
  ),
  Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "None"))
)

/** A tenant that is activated, read, watched, waited for and removed; and one that is never there when it is waited for. */
const comesAndGoes = (id: string) =>
  Effect.gen(function* () {
    const manager = yield* TenantManager
    yield* Effect.timeoutOption(manager.awaitLive(`awaited-${id}`), 0)
    yield* manager.activate(id)
    yield* Config.get(Limit)
    yield* Stream.runDrain(Stream.take(Config.watch(Limit), 1))
    yield* Effect.timeoutOption(Stream.runDrain(Stream.drop(Config.watch(Limit), 1)), 0)
    yield* manager.suspend(id)
    yield* Effect.exit(Config.get(Limit))
    yield* manager.remove(id)
  }).pipe(withTenant(id))

/** An id that a request invented. */
const isInvented = (id: string) => Effect.exit(Config.get(Limit)).pipe(withTenant(id))

/** Bytes that are reachable. */
const heap = Effect.gen(function* () {
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.()
    yield* Effect.sleep(10)
  }
  return process.memoryUsage().heapUsed
})

export interface Growth {
  readonly before: number
  readonly after: number
}

const grown = <R>(each: (id: string) => Effect.Effect<unknown, unknown, R>, warmUp: number, count: number) => {
  const run = (from: number, to: number) =>
    Effect.gen(function* () {
      for (let i = from; i < to; i += 50) {
        const ids = Array.from({ length: Math.min(50, to - i) }, (_, j) => `tenant-${i + j}`)
        yield* Effect.forEach(ids, each, { concurrency: 50, discard: true })
      }
    })
  return Effect.gen(function* () {
    yield* run(0, warmUp)
    const before = yield* heap
    yield* run(warmUp, warmUp + count)
    return { before, after: yield* heap }
  })
}

/** How much the heap grew between `warmUp` tenants and `count` more. */
export const measure = Effect.fnUntraced(function* (warmUp: number, count: number) {
  const lifecycle = yield* grown(comesAndGoes, warmUp, count).pipe(Effect.provide(plane))
  const invented = yield* grown(isInvented, warmUp, count).pipe(Effect.provide(planeWithoutTenants))
  return { lifecycle, invented }
})

/**
 * What a plane keeps of tenants that came and went: ids that reads carried, waits that timed out, watches that were
 * closed, tenants that were activated and removed. Each is bounded, so a plane that has seen a million of each holds no
 * more than one that has seen some thousands.
 *
 * The engine runs over a backend that keeps nothing, and over the layers of PostgreSQL with a connector that knows no
 * tenant. `npm run check:growth` runs it with a hundred thousand of each, a test with some hundreds. It needs
 * `--expose-gc`.
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

/**
 * A tenant that is activated, read, watched, waited for and removed; and one that is never there when it is waited for.
 */
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
  /** Reachable bytes after the warm-up, then after each tenth of what follows. */
  readonly heaps: ReadonlyArray<number>
  /** By how many bytes the last of them exceeds the first. */
  readonly grown: number
}

/** How much the heap grows from `warmUp` ids to `count` more; `onHeap` sees it on the way. */
const grown = Effect.fnUntraced(function* <R>(
  each: (id: string) => Effect.Effect<unknown, unknown, R>,
  { count, onHeap = () => {}, warmUp }: Measure
) {
  const heaps: Array<number> = []
  let done = 0
  for (let tenth = 0; tenth <= 10; tenth++) {
    for (const end = warmUp + Math.round((count * tenth) / 10); done < end; ) {
      const ids = Array.from({ length: Math.min(50, end - done) }, (_, i) => `tenant-${done + i}`)
      yield* Effect.forEach(ids, each, { concurrency: 50, discard: true })
      done += ids.length
    }
    heaps.push(yield* heap)
    onHeap(done, heaps[tenth]!)
  }
  return { heaps, grown: heaps[10]! - heaps[0]! }
})

export interface Measure {
  /** The ids before the first look: caches with a bound are full by then. */
  readonly warmUp: number
  readonly count: number
  readonly onHeap?: (done: number, bytes: number) => void
}

/** Tenants that come and go. */
export const lifecycle = (measure: Measure) => grown(comesAndGoes, measure).pipe(Effect.provide(plane))

/** Ids that requests invented. */
export const invented = (measure: Measure) => grown(isInvented, measure).pipe(Effect.provide(planeWithoutTenants))

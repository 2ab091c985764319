/** One session: what a live tenant weighs, and how soon it is noticed that its peer is gone. */
import { setTimeout } from "node:timers/promises"
import { Clock, Effect, Layer, Redacted } from "effect"
import { Config, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as FaultProxy from "../dev/FaultProxy.ts"
import { TenantSeries } from "../src/layers/telemetry/TenantSeries.ts"
import * as Databases from "./Databases.ts"
import { gates } from "./gates.ts"
import { silent } from "./Planes.ts"
import * as BareDriver from "./peers/BareDriver.ts"
import * as Report from "./Report.ts"
import { type Section, section } from "./Section.ts"
import * as Workload from "./Workload.ts"

/** Bytes in use after a full collection, once everything that ends by itself has ended. */
export const heapUsed = Effect.promise(async () => {
  const { gc } = globalThis
  if (gc === undefined) throw new Error("start it with --expose-gc, as npm run bench does")
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5; i++) {
    gc()
    await setTimeout(20)
    least = Math.min(least, process.memoryUsage().heapUsed)
  }
  return least
})

/** How many bytes of heap each of the `count` things takes that the effect makes. */
const weight = <A, E, R>(count: number, make: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* heapUsed
    yield* make
    const bytes = (yield* heapUsed) - before
    return bytes > 0 ? bytes / count : yield* Effect.die(new Error("something else was let go meanwhile"))
  })

/** The metrics of tenants that are live, and nothing else of them. */
const observe = Effect.fnUntraced(function* (tenants: ReadonlyArray<string>) {
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  for (const tenant of tenants) {
    const series = new TenantSeries(`measured ${tenant}`, context, clock)
    const observed = { hits: 0, snapshot: { slots: [], confirmedAt: 0 } }
    series.join({ wantedSince: 0, observed, historyBytes: 0 })
    series.warmLoaded(0)
    series.reconciled("connect")
  }
})

/** The first of each pay for what all of them share, such as compiled code. */
const warmUps = 20

const heap: Section = section(
  "heap per live tenant",
  [gates.heap],
  Effect.fnUntraced(function* ({ quick }) {
    const count = quick ? 50 : 200
    const all = Array.from({ length: count + warmUps }, (_, i) => `heap_${i}`)
    const [warmUp, names] = [all.slice(0, warmUps), all.slice(warmUps)]
    const { keys } = Workload.make(1, 1)
    const server = yield* Databases.server
    yield* Databases.create(server, all, 0)
    const targets = Object.fromEntries(all.map((name) => [name, { url: server.url(name) }]))
    const plane = yield* Layer.build(
      SystemplaneLive({ keys, bootstrap: "skip", seedDefaults: false }).pipe(
        Layer.provide([PgConnector.layerRecord(targets), silent])
      )
    )
    const manager = yield* Effect.provide(TenantManager, plane)
    const activate = (tenants: ReadonlyArray<string>) => Effect.forEach(tenants, manager.activate, { concurrency: 8 })
    const connect = (tenants: ReadonlyArray<string>) =>
      Effect.forEach(tenants, (tenant) => BareDriver.session(server.url(tenant)), { concurrency: 8 })
    const prove = (tenants: ReadonlyArray<string>) =>
      Effect.forEach(tenants, (tenant) => BareDriver.prove(server.url(tenant), keys), { concurrency: 8 })
    yield* activate(warmUp)
    yield* connect(warmUp)
    yield* prove(warmUp)
    yield* observe(warmUp)
    const ours = yield* weight(count, activate(names))
    const bare = yield* weight(count, connect(names))
    const proof = yield* weight(count, prove(names))
    const series = yield* weight(count, observe(names))
    const kilobytes = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`
    return [
      Report.row(
        gates.heap,
        ours / bare,
        `${count} tenants: ours ${kilobytes(ours)}, bare session ${kilobytes(bare)}, the proof alone ${kilobytes(proof)}, its metrics ${kilobytes(series)}`,
        (proof + series) / bare
      )
    ]
  })
)

const blackHole: Section = section(
  "a black hole",
  [gates.blackHole],
  Effect.fnUntraced(function* ({ quick }) {
    const bound = quick ? 2000 : 5000
    const rounds = quick ? 3 : 5
    const { keys } = Workload.make(1, 50)
    const server = yield* Databases.server
    yield* Databases.create(server, ["hole"], keys.length)
    const noticed: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      noticed.push(yield* Effect.scoped(untilNoticed(server.url("hole"), keys, bound)))
    }
    const worst = Math.max(...noticed)
    return [
      Report.row(
        gates.blackHole,
        worst / bound,
        `the worst of ${rounds}: ${Report.duration(worst * 1e6)} of ${Report.duration(bound * 1e6)}`
      )
    ]
  })
)

/**
 * Milliseconds from when the network swallows everything until a read says that its value may be old, or no read
 * answers.
 */
const untilNoticed = Effect.fnUntraced(function* (
  url: Redacted.Redacted,
  keys: Workload.Workload["keys"],
  maxStaleness: number
) {
  const proxy = yield* FaultProxy.makeTo(new URL(Redacted.value(url)))
  const plane = yield* Layer.build(
    SystemplaneLive({ keys, tenants: ["hole"], maxStaleness }).pipe(
      Layer.provide([PgConnector.layerRecord({ hole: { url: proxy.through(url) } }), silent])
    )
  )
  return yield* Effect.gen(function* () {
    const handle = yield* Config.handle(keys[0]!).pipe(withTenant("hole"))
    if (handle.entry.stale) return yield* Effect.die(new Error("it is stale before anything happened"))
    yield* proxy.blackHole
    const started = performance.now()
    while (!handle.entry.stale) yield* Effect.sleep("5 millis")
    return performance.now() - started
  }).pipe(Effect.provide(plane))
})

export const sections: ReadonlyArray<Section> = [heap, blackHole]

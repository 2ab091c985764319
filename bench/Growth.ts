/**
 * How cost grows: reads with the number of tenants and of keys, memory with their product, a change with the number of
 * other tenants. On planes in memory, so that a thousand tenants need no thousand sessions; beside a nested map, which
 * meets the same caches of the processor.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { setImmediate } from "node:timers/promises"
import { Effect } from "effect"
import { Config, withTenant } from "effect-systemplane"
import { MemoryDriver } from "effect-systemplane/testing"
import { gates } from "./gates.ts"
import * as Machine from "./Machine.ts"
import * as Ours from "./Ours.ts"
import * as Planes from "./Planes.ts"
import * as NestedMap from "./peers/NestedMap.ts"
import * as Report from "./Report.ts"
import * as Rounds from "./Rounds.ts"
import { type Section, section } from "./Section.ts"
import { heapUsed } from "./Session.ts"
import { median, proportionality } from "./Statistics.ts"
import * as Svg from "./Svg.ts"
import * as Workload from "./Workload.ts"

const rounds: Rounds.RoundsOptions = { rounds: 51, batch: 1, warmUp: 40 }

/** The read costs of a plane of this size, in nanoseconds. */
const readCosts = (tenants: number, keys: number) =>
  Effect.gen(function* () {
    const workload = Workload.make(tenants, keys)
    const plane = yield* Planes.live(workload)
    const order = Workload.pairs(workload)
    const contenders = [
      NestedMap.contender(workload, order),
      yield* Ours.handleCurrent(plane, workload, order),
      yield* Ours.snapshotGet(plane, workload, order),
      Ours.configGet(plane, workload)
    ]
    return yield* Effect.promise(() => Rounds.measure(contenders, rounds))
  }).pipe(Effect.scoped)

/** What the entries and their scopes weigh, in bytes. */
const memoryOf = (tenants: number, keys: number) =>
  Effect.gen(function* () {
    const workload = Workload.make(tenants, keys)
    const before = yield* heapUsed
    const plane = yield* Planes.live(workload)
    const bytes = (yield* heapUsed) - before
    const value = yield* Config.get(workload.keys[0]!).pipe(withTenant(workload.tenants[0]!), Effect.provide(plane))
    return value === workload.value(0, 0) ? bytes : yield* Effect.die(new Error("the plane answers wrongly"))
  }).pipe(Effect.scoped)

/** From a write by another session until a read sees it, while this many tenants are live: the median, in nanoseconds. */
const changeCost = (tenants: number) =>
  Effect.gen(function* () {
    const workload = Workload.make(tenants, 50)
    const plane = yield* Planes.live(workload)
    const handle = yield* Config.handle(workload.keys[0]!).pipe(withTenant(workload.tenants[0]!), Effect.provide(plane))
    const database = yield* Effect.provide(MemoryDriver.tenant(workload.tenants[0]!), plane)
    const samples: Array<number> = []
    for (let round = 0; round < 100; round++) {
      const value = 1_000_000 + round
      yield* Effect.promise(async () => {
        const started = process.hrtime.bigint()
        await Effect.runPromise(database.write(workload.keys[0]!, value))
        while (handle.current !== value) await setImmediate()
        if (round >= 20) samples.push(Number(process.hrtime.bigint() - started))
      })
    }
    return median(samples)
  }).pipe(Effect.scoped)

const inMebibytes = (points: ReadonlyArray<{ readonly x: number; readonly y: number }>) =>
  points.map(({ x, y }) => ({ x, y: y / 2 ** 20 }))

/** Between the first and the last point. */
const slope = (points: ReadonlyArray<{ readonly x: number; readonly y: number }>) => {
  const [first, last] = [points[0]!, points.at(-1)!]
  return (last.y - first.y) / (last.x - first.x)
}

const seriesOf = (
  points: ReadonlyArray<{ readonly x: number; readonly medians: Rounds.Medians }>
): Svg.Panel["series"] =>
  Object.keys(points[0]!.medians).map((name) => ({
    name,
    points: points.map(({ medians, x }) => ({ x, y: medians[name]! }))
  }))

const growth: Section = section(
  "growth",
  [gates.readsByTenants, gates.readsByKeys, gates.memoryGrowth, gates.changeGrowth],
  Effect.fnUntraced(function* ({ quick, results }) {
    const tenantCounts = quick ? [1, 30, 1000] : [1, 4, 16, 64, 250, 1000]
    const keyCounts = quick ? [10, 300, 10_000] : [10, 40, 160, 640, 2500, 10_000]
    const byTenants = yield* Effect.forEach(tenantCounts, (x) =>
      Effect.map(readCosts(x, 50), (medians) => ({ x, medians }))
    )
    const byKeys = yield* Effect.forEach(keyCounts, (x) => Effect.map(readCosts(4, x), (medians) => ({ x, medians })))
    const steps = quick ? [50, 100, 200] : [50, 100, 200, 400]
    const memory = {
      byTenants: yield* Effect.forEach(steps, (x) => Effect.map(memoryOf(x, 50), (y) => ({ x, y }))),
      byKeys: yield* Effect.forEach(steps, (x) => Effect.map(memoryOf(50, x), (y) => ({ x, y })))
    }
    const changes = yield* Effect.forEach(tenantCounts, (x) => Effect.map(changeCost(x), (y) => ({ x, y: y / 1000 })))

    yield* Effect.promise(async () => {
      await mkdir(results, { recursive: true })
      await writeFile(
        new URL("growth.svg", results),
        Svg.render(`How cost grows, on ${Machine.describe().summary}`, [
          { title: "A read, by tenants (50 keys each)", x: "tenants", y: "ns per read", series: seriesOf(byTenants) },
          { title: "A read, by keys (4 tenants)", x: "keys per tenant", y: "ns per read", series: seriesOf(byKeys) },
          {
            title: "Memory",
            x: "tenants, or keys",
            y: "MiB",
            logarithmic: true,
            series: [
              { name: "tenants with 50 keys", points: inMebibytes(memory.byTenants) },
              { name: "keys of 50 tenants", points: inMebibytes(memory.byKeys) }
            ]
          },
          {
            title: "A change of one tenant",
            x: "live tenants",
            y: "µs until visible",
            series: [{ name: "p50", points: changes }]
          }
        ])
      )
    })

    const grown = (points: ReadonlyArray<{ readonly medians: Rounds.Medians }>, name: string) =>
      points.at(-1)!.medians[name]! / points[0]!.medians[name]!
    const flat = (gate: (typeof gates)[keyof typeof gates], points: typeof byTenants) =>
      Report.row(
        gate,
        grown(points, "yield* Config.get") / grown(points, "nested Map"),
        `Config.get grows by ${Report.ratio(grown(points, "yield* Config.get"))}, handle.current by ${Report.ratio(grown(points, "handle.current"))}, the nested Map by ${Report.ratio(grown(points, "nested Map"))}`
      )
    const byTenant = proportionality(memory.byTenants)
    const byKey = slope(memory.byKeys) / 50
    return [
      flat(gates.readsByTenants, byTenants),
      flat(gates.readsByKeys, byKeys),
      Report.row(
        gates.memoryGrowth,
        1 + byTenant.error,
        `${(byTenant.slope / 1024).toFixed(0)} KiB per tenant with 50 keys, ${byKey.toFixed(0)} bytes per further key`
      ),
      Report.row(
        gates.changeGrowth,
        changes.at(-1)!.y / changes[0]!.y,
        `${changes[0]!.y.toFixed(0)} µs with 1 tenant live, ${changes.at(-1)!.y.toFixed(0)} µs with ${changes.at(-1)!.x}`
      )
    ]
  })
)

export const sections: ReadonlyArray<Section> = [growth]

/**
 * The feed path, on real PostgreSQL: how long it takes from a commit in another process until a read in this one sees
 * it.
 *
 * Each contender has a database of its own, so that neither waits behind the other on this process's one thread; they
 * take turns in random order. Visible means that a read answers the new value, and both are read in the same loop, once
 * per turn of the event loop.
 */
import { setImmediate, setTimeout } from "node:timers/promises"
import { Effect, Layer, type Redacted } from "effect"
import { Config, type ConfigHandle, SystemplaneLive, withTenant } from "effect-systemplane"
import * as Counted from "./Counted.ts"
import * as Databases from "./Databases.ts"
import { gates } from "./gates.ts"
import { silent } from "./Planes.ts"
import * as BareDriver from "./peers/BareDriver.ts"
import * as BareListener from "./peers/BareListener.ts"
import * as Report from "./Report.ts"
import { type Section, section } from "./Section.ts"
import { median, quantile, shuffled } from "./Statistics.ts"
import * as Workload from "./Workload.ts"
import * as Writer from "./Writer.ts"

const tenant = "bench"

/** A plane on one database, and the live handles of its keys. */
const plane = (url: Redacted.Redacted, keys: Workload.Workload["keys"], counts: Counted.Counts) =>
  Effect.gen(function* () {
    const plane = yield* Layer.build(
      SystemplaneLive({ keys, tenants: [tenant] }).pipe(Layer.provide([Counted.connector(tenant, url, counts), silent]))
    )
    const handles: ReadonlyArray<ConfigHandle<number>> = yield* Effect.forEach(keys, (key) =>
      Config.handle(key).pipe(withTenant(tenant), Effect.provide(plane))
    )
    return handles
  })

const givenUpAfter = 20_000

/** Looks once per turn of the event loop; returns how long after the commit it was so, in nanoseconds. */
const visible = async (committed: Promise<bigint>, isVisible: () => boolean): Promise<number> => {
  const deadline = performance.now() + givenUpAfter
  while (!isVisible()) {
    if (performance.now() > deadline) throw new Error("a change was not seen within 20 seconds")
    await setImmediate()
  }
  const seenAt = process.hrtime.bigint()
  return Number(seenAt - (await committed))
}

const names = (key: number) => ({ namespace: `service-${Math.floor(key / 10)}`, key: `limit-${key}` })

const update = (key: number, value: number) =>
  `UPDATE systemplane_entries SET value = '${value}', updated_by = 'bench'
   WHERE namespace = '${names(key).namespace}' AND key = '${names(key).key}'`

const latency: Section = section(
  "commit to visible",
  [gates.commitToVisible],
  Effect.fnUntraced(function* ({ quick }) {
    const { keys } = Workload.make(1, 50)
    const server = yield* Databases.server
    yield* Databases.create(server, ["ours", "bare", "all", "proof"], keys.length)
    const handles = yield* plane(server.url("ours"), keys, { statements: 0 })
    const bare = yield* BareListener.listen(server.url("bare"), "store")
    const all = yield* BareListener.listen(server.url("all"), "store all")
    // Two of each driver, so that the code of neither is warmer than that of the other.
    const proof = yield* BareDriver.prove(server.url("proof"), keys)
    const writer = yield* Writer.make

    const stored = (listener: BareListener.BareListener) => (key: number, value: number) =>
      listener.values.get(`${names(key).namespace}/${names(key).key}`) === value
    const contenders = {
      ours: (key: number, value: number) => handles[key]!.current === value,
      bare: stored(bare),
      all: stored(all),
      proof: stored(proof)
    }
    const samples: Record<keyof typeof contenders, Array<number>> = { ours: [], bare: [], all: [], proof: [] }
    const rounds = quick ? 200 : 1000
    const warmUp = 50
    // A stream of changes is read at a pace that takes a twentieth of a core. This measures one change, so the budget
    // of the read before is back when the next one comes.
    const idle = 15
    yield* Effect.promise(async () => {
      for (let round = 0; round < warmUp + rounds; round++) {
        for (const name of shuffled(["ours", "bare", "all", "proof"] as const)) {
          const key = round % keys.length
          const value = 1_000_000 + round
          await setTimeout(idle)
          const committed = writer.write(server.url(name), [update(key, value)])
          const elapsed = await visible(committed, () => contenders[name](key, value))
          if (round >= warmUp) samples[name].push(elapsed)
        }
      }
    })
    const words = (sample: ReadonlyArray<number>) =>
      `p50 ${Report.duration(median(sample))} p99 ${Report.duration(quantile(sample, 0.99))}`
    return [
      Report.row(
        gates.commitToVisible,
        median(samples.ours) / median(samples.bare),
        `ours ${words(samples.ours)}, bare listener ${words(samples.bare)}, one that re-reads every row ${words(samples.all)}, ` +
          `the proof alone ${words(samples.proof)}`,
        median(samples.proof) / median(samples.bare)
      )
    ]
  })
)

const burstSize = 10_000

const burst: Section = section(
  "a burst of 10,000 updates in one transaction",
  [gates.burst, gates.burstStatements],
  Effect.fnUntraced(function* ({ quick }) {
    const { keys } = Workload.make(1, burstSize)
    const server = yield* Databases.server
    yield* Databases.create(server, ["ours", "bare"], keys.length)
    const counts: Counted.Counts = { statements: 0 }
    const handles = yield* plane(server.url("ours"), keys, counts)
    const bare = yield* BareListener.listen(server.url("bare"), "count")
    const writer = yield* Writer.make

    const samples = { ours: [] as Array<number>, bare: [] as Array<number> }
    const statements: Array<number> = []
    const rounds = quick ? 5 : 31
    yield* Effect.promise(async () => {
      for (let round = 1; round <= rounds; round++) {
        const offset = round * 1_000_000
        const isVisible = {
          ours: () => handles[burstSize - 1]!.current === offset + burstSize - 1,
          bare: () => bare.heard() === round * burstSize
        }
        for (const name of shuffled(["ours", "bare"] as const)) {
          const before = counts.statements
          const committed = writer.write(server.url(name), [
            `UPDATE systemplane_entries SET value = to_jsonb(split_part(key, '-', 2)::int + ${offset})`
          ])
          samples[name].push(await visible(committed, isVisible[name]))
          if (name === "bare") continue
          await quiet(() => counts.statements)
          statements.push(counts.statements - before)
          if (handles.some((handle, k) => handle.current !== offset + k)) throw new Error("some values were not seen")
        }
      }
    })
    return [
      Report.row(
        gates.burst,
        median(samples.ours) / median(samples.bare),
        `ours ${Report.duration(median(samples.ours))}, idle listener ${Report.duration(median(samples.bare))}`
      ),
      Report.row(gates.burstStatements, median(statements) / burstSize, `${median(statements)} statements`)
    ]
  })
)

/** Waits until a count has stood still for half a second. */
const quiet = async (count: () => number) => {
  for (let before = -1; before !== count(); ) {
    before = count()
    await Effect.runPromise(Effect.sleep("500 millis"))
  }
}

export const sections: ReadonlyArray<Section> = [latency, burst]

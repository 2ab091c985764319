/** The read path: what a cached read costs, beside the floor and the peers. */
import { Effect } from "effect"
import * as Copies from "./Copies.ts"
import { type Gate, gates } from "./gates.ts"
import * as Ours from "./Ours.ts"
import * as Planes from "./Planes.ts"
import * as LaunchDarkly from "./peers/LaunchDarkly.ts"
import * as NestedMap from "./peers/NestedMap.ts"
import * as OpenFeature from "./peers/OpenFeature.ts"
import * as Unleash from "./peers/Unleash.ts"
import * as Report from "./Report.ts"
import * as Rounds from "./Rounds.ts"
import { type Section, section } from "./Section.ts"
import * as Workload from "./Workload.ts"

const roundsOf = (quick: boolean): Rounds.RoundsOptions =>
  quick ? { rounds: 151, batch: 1, warmUp: 200 } : { rounds: 501, batch: 1, warmUp: 500 }

const compare = (gate: Gate, medians: Rounds.Medians, ours: string, theirs: string, floor?: string): Report.Row => {
  const against = (name: string) => medians[name]! / medians[theirs]!
  const sides = [ours, theirs, ...(floor === undefined ? [] : [floor])]
  return Report.row(
    gate,
    against(ours),
    sides.map((name) => `${name} ${Report.duration(medians[name]!)}`).join(", "),
    floor === undefined ? undefined : against(floor)
  )
}

const synchronous: Section = section(
  "synchronous reads",
  [gates.snapshotGet, gates.handleCurrent, gates.yieldHandle],
  Effect.fnUntraced(function* ({ quick }) {
    const workload = Workload.make(64, 50)
    const plane = yield* Planes.live(workload)
    const order = Workload.pairs(workload)
    const contenders = [
      NestedMap.contender(workload, order),
      yield* Ours.snapshotGet(plane, workload, order),
      yield* Ours.handleCurrent(plane, workload, order),
      yield* Ours.yieldHandle(plane, workload, order)
    ]
    const medians = yield* Effect.promise(() => Rounds.measure(contenders, roundsOf(quick)))
    return [
      compare(gates.snapshotGet, medians, "snapshot.get", "nested Map"),
      compare(gates.handleCurrent, medians, "handle.current", "nested Map"),
      compare(gates.yieldHandle, medians, "yield* handle", "nested Map")
    ]
  })
)

const effectful: Section = section(
  "reads as effects, and the peers",
  [gates.configGet, gates.unleash, gates.launchDarkly, gates.openFeature],
  Effect.fnUntraced(function* ({ quick }) {
    const workload = Workload.make(64, 50)
    const plane = yield* Planes.live(workload)
    const order = Workload.pairs(workload)
    const contenders = [
      Ours.configGet(plane, workload),
      Ours.succeed(plane, workload),
      Ours.look(plane, workload),
      yield* Unleash.contender(workload, order),
      yield* LaunchDarkly.contender(workload, order),
      // Some of them: its reads take microseconds, and a run must fit into a batch.
      yield* OpenFeature.contender(workload, order.slice(0, 800))
    ]
    const medians = yield* Effect.promise(() => Rounds.measure(contenders, roundsOf(quick)))
    const against = (gate: Gate, peer: string) =>
      compare(gate, medians, "yield* Config.get", peer, "a look at the fiber")
    return [
      against(gates.configGet, "yield* Effect.succeed"),
      against(gates.unleash, "Unleash isEnabled"),
      against(gates.launchDarkly, "LaunchDarkly variation"),
      against(gates.openFeature, "OpenFeature in-memory")
    ]
  })
)

const counting: Section = section(
  "what counting costs",
  [gates.counting],
  Effect.fnUntraced(function* ({ quick }) {
    const copies = yield* Effect.promise(Copies.load)
    const contenders = yield* Effect.forEach(
      [
        { name: "counting", copy: copies.counting },
        { name: "not counting", copy: copies.notCounting }
      ],
      ({ copy, name }) => {
        const workload = Workload.make(64, 50, copy)
        return Effect.map(Planes.live(workload, copy), (plane) => Ours.configGet(plane, workload, name, copy))
      }
    )
    const medians = yield* Effect.promise(() => Rounds.measure(contenders, roundsOf(quick)))
    return [compare(gates.counting, medians, "counting", "not counting")]
  })
)

export const sections: ReadonlyArray<Section> = [synchronous, effectful, counting]

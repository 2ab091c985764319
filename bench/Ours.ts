/** Our own reads, each as a loop that sums what it read. */
import { type Context, Effect } from "effect"
import type * as Systemplane from "effect-systemplane"
import { Config, type ConfigHandle, withTenant } from "effect-systemplane"
import type { Contender } from "./Rounds.ts"
import * as Workload from "./Workload.ts"

type Plane = Context.Context<Systemplane.Config>

/** `snapshot.get(key)`, of snapshots that were taken before. */
export const snapshotGet = Effect.fnUntraced(function* (
  plane: Plane,
  workload: Workload.Workload,
  order: ReadonlyArray<Workload.Pair>
) {
  const taken = yield* Effect.forEach(workload.tenants, (tenant) => withTenant(tenant)(Config.snapshot)).pipe(
    Effect.provide(plane),
    Effect.orDie
  )
  const snapshots = order.map(({ tenant }) => taken[tenant]!)
  const keys = order.map(({ key }) => workload.keys[key]!)
  const contender: Contender = {
    name: "snapshot.get",
    operations: order.length,
    expected: Workload.sum(workload, order),
    run: () => {
      let sum = 0
      for (let i = 0; i < keys.length; i++) sum = (sum + snapshots[i]!.get(keys[i]!)) | 0
      return sum
    }
  }
  return contender
})

/** The handles of these pairs. */
const handlesOf = (plane: Plane, workload: Workload.Workload, order: ReadonlyArray<Workload.Pair>) =>
  Effect.forEach(order, ({ key, tenant }) =>
    withTenant(workload.tenants[tenant]!)(Config.handle(workload.keys[key]!))
  ).pipe(Effect.provide(plane), Effect.orDie)

/** `handle.current`. */
export const handleCurrent = Effect.fnUntraced(function* (
  plane: Plane,
  workload: Workload.Workload,
  order: ReadonlyArray<Workload.Pair>
) {
  const handles: ReadonlyArray<ConfigHandle<number>> = yield* handlesOf(plane, workload, order)
  const contender: Contender = {
    name: "handle.current",
    operations: order.length,
    expected: Workload.sum(workload, order),
    run: () => {
      let sum = 0
      for (let i = 0; i < handles.length; i++) sum = (sum + handles[i]!.current) | 0
      return sum
    }
  }
  return contender
})

/** `yield* handle` in a generator. */
export const yieldHandle = Effect.fnUntraced(function* (
  plane: Plane,
  workload: Workload.Workload,
  order: ReadonlyArray<Workload.Pair>
) {
  const handles: ReadonlyArray<ConfigHandle<number>> = yield* handlesOf(plane, workload, order)
  const program = Effect.gen(function* () {
    let sum = 0
    for (let i = 0; i < handles.length; i++) sum = (sum + (yield* handles[i]!)) | 0
    return sum
  })
  const contender: Contender = {
    name: "yield* handle",
    operations: order.length,
    expected: Workload.sum(workload, order),
    run: () => Effect.runSync(program)
  }
  return contender
})

/** How often a fiber reads all its keys: enough that beginning to act for a tenant hardly counts. */
const passes = 5

/** One fiber after the other, each on behalf of a tenant, each reading all keys; `read` is `yield*`ed. */
const inFibers = (
  name: string,
  workload: Workload.Workload,
  plane: Plane,
  tenant: typeof withTenant,
  programOf: (request: Workload.Request) => Effect.Effect<number, unknown, Systemplane.Config>
): Contender => {
  const requests = Workload.requests(workload)
  const pairs = requests.flatMap(({ keys, tenant }) => keys.map((key) => ({ tenant, key })))
  const programs = requests.map((request) => tenant(workload.tenants[request.tenant]!)(programOf(request)))
  const all = Effect.gen(function* () {
    let sum = 0
    for (const program of programs) sum = (sum + (yield* program)) | 0
    return sum
  })
  const runSync = Effect.runSyncWith(plane)
  return {
    name,
    operations: passes * pairs.length,
    expected: Math.imul(passes, Workload.sum(workload, pairs)),
    run: () => runSync(all)
  }
}

/** `yield* Config.get(key)`, of this copy of the package. */
export const configGet = (
  plane: Plane,
  workload: Workload.Workload,
  name = "yield* Config.get",
  copy: Pick<typeof Systemplane, "Config" | "withTenant"> = { Config, withTenant }
): Contender =>
  inFibers(name, workload, plane, copy.withTenant, (request) => {
    const keys = request.keys.map((key) => workload.keys[key]!)
    // Looking `Config` up in an object that holds a whole package takes half as long as the read.
    const { Config } = copy
    return Effect.gen(function* () {
      let sum = 0
      for (let pass = 0; pass < passes; pass++) {
        for (let i = 0; i < keys.length; i++) sum = (sum + (yield* Config.get(keys[i]!))) | 0
      }
      return sum
    })
  })

/** `yield*` of an `Effect.succeed` that was made before: no read of an Effect program can cost less. */
export const succeed = (plane: Plane, workload: Workload.Workload): Contender =>
  inFibers("yield* Effect.succeed", workload, plane, withTenant, (request) => {
    const effects = request.keys.map((key) => Effect.succeed(workload.value(request.tenant, key)))
    return Effect.gen(function* () {
      let sum = 0
      for (let pass = 0; pass < passes; pass++) {
        for (let i = 0; i < effects.length; i++) sum = (sum + (yield* effects[i]!)) | 0
      }
      return sum
    })
  })

/**
 * `yield*` of an effect that looks at its fiber and answers what it was made with: no read on behalf of the fiber's
 * tenant can cost less. In a loop of its own: in one that both share, the compiler would know less of `succeed`, which
 * is the floor.
 */
export const look = (plane: Plane, workload: Workload.Workload): Contender =>
  inFibers("a look at the fiber", workload, plane, withTenant, (request) => {
    const effects = request.keys.map((key) => {
      const value = workload.value(request.tenant, key)
      return Effect.withFiberSucceed(() => value)
    })
    return Effect.gen(function* () {
      let sum = 0
      for (let pass = 0; pass < passes; pass++) {
        for (let i = 0; i < effects.length; i++) sum = (sum + (yield* effects[i]!)) | 0
      }
      return sum
    })
  })

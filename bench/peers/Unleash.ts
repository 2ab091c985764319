/**
 * The Unleash Node SDK, offline: bootstrapped with its features, no polling, no files. It counts evaluations, as it
 * does unless told otherwise and as our reads are counted, and sends the counts nowhere. Each feature has the `default`
 * strategy without constraints, its cheapest; every second one is disabled, so that a constant answer shows.
 */
import { once } from "node:events"
import { Effect } from "effect"
import { InMemStorageProvider, Unleash } from "unleash-client"
import type { Contender } from "../Rounds.ts"
import type * as Workload from "../Workload.ts"

const open = (keys: Workload.Workload["keys"]) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const unleash = new Unleash({
        appName: "bench",
        // Never asked: without an interval nothing is fetched.
        url: "http://127.0.0.1:9/api/",
        refreshInterval: 0,
        metricsInterval: 0,
        storageProvider: new InMemStorageProvider(),
        bootstrap: {
          data: keys.map(({ key }, k) => ({
            name: key,
            type: "operational",
            project: "default",
            enabled: k % 2 === 0,
            stale: false,
            impressionData: false,
            variants: [],
            strategies: [{ name: "default", parameters: {}, constraints: [] }]
          }))
        }
      })
      await once(unleash, "ready")
      return unleash
    }),
    (unleash) => Effect.sync(() => unleash.destroy())
  )

export const contender = Effect.fnUntraced(function* (
  workload: Workload.Workload,
  order: ReadonlyArray<Workload.Pair>
) {
  const unleash = yield* open(workload.keys)
  const contexts = order.map(({ tenant }) => ({ userId: workload.tenants[tenant]! }))
  const names = order.map(({ key }) => workload.keys[key]!.key)
  const contender: Contender = {
    name: "Unleash isEnabled",
    operations: order.length,
    expected: order.filter(({ key }) => key % 2 === 0).length,
    run: () => {
      let enabled = 0
      for (let i = 0; i < names.length; i++) if (unleash.isEnabled(names[i]!, contexts[i]!)) enabled++
      return enabled
    }
  }
  return contender
})

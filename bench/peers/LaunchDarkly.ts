/**
 * The LaunchDarkly Node server SDK on its own test data, with events off. Each flag has one variation for every user,
 * its cheapest evaluation.
 */
import { init } from "@launchdarkly/node-server-sdk"
import { TestData } from "@launchdarkly/node-server-sdk/integrations"
import { Effect } from "effect"
import type { Contender } from "../Rounds.ts"
import type * as Workload from "../Workload.ts"

const open = (keys: Workload.Workload["keys"]) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const data = new TestData()
      keys.forEach(({ key }, k) => {
        data.update(data.flag(key).valueForAll(k + 1))
      })
      const quiet = { debug: () => {}, info: () => {}, warn: console.warn, error: console.error }
      const client = init("sdk-key", {
        updateProcessor: data.getFactory(),
        sendEvents: false,
        diagnosticOptOut: true,
        logger: quiet
      })
      await client.waitForInitialization({ timeout: 10 })
      return client
    }),
    (client) => Effect.sync(() => client.close())
  )

export const contender = Effect.fnUntraced(function* (
  workload: Workload.Workload,
  order: ReadonlyArray<Workload.Pair>
) {
  const client = yield* open(workload.keys)
  const tenants = workload.tenants.map((tenant) => ({ kind: "tenant", key: tenant }))
  const contexts = order.map(({ tenant }) => tenants[tenant]!)
  const names = order.map(({ key }) => workload.keys[key]!.key)
  const contender: Contender = {
    name: "LaunchDarkly variation",
    operations: order.length,
    expected: order.reduce((sum, { key }) => (sum + key + 1) | 0, 0),
    run: async () => {
      let sum = 0
      for (let i = 0; i < names.length; i++) sum = (sum + (await client.variation(names[i]!, contexts[i]!, -1))) | 0
      return sum
    }
  }
  return contender
})

/**
 * The OpenFeature server SDK with its in-memory provider. Each flag has one variant and no evaluator of the context,
 * its cheapest evaluation; no hooks.
 */
import { OpenFeature, TypedInMemoryProvider } from "@openfeature/server-sdk"
import { Effect } from "effect"
import type { Contender } from "../Rounds.ts"
import type * as Workload from "../Workload.ts"

const open = (keys: Workload.Workload["keys"]) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const flags = keys.map(({ key }, k) => [key, { variants: { on: k + 1 }, defaultVariant: "on", disabled: false }])
      await OpenFeature.setProviderAndWait(new TypedInMemoryProvider(Object.fromEntries(flags)))
      return OpenFeature.getClient()
    }),
    () => Effect.promise(() => OpenFeature.close())
  )

export const contender = Effect.fnUntraced(function* (
  workload: Workload.Workload,
  order: ReadonlyArray<Workload.Pair>
) {
  const client = yield* open(workload.keys)
  const tenants = workload.tenants.map((tenant) => ({ targetingKey: tenant }))
  const contexts = order.map(({ tenant }) => tenants[tenant]!)
  const names = order.map(({ key }) => workload.keys[key]!.key)
  const contender: Contender = {
    name: "OpenFeature in-memory",
    operations: order.length,
    expected: order.reduce((sum, { key }) => (sum + key + 1) | 0, 0),
    run: async () => {
      let sum = 0
      for (let i = 0; i < names.length; i++)
        sum = (sum + (await client.getNumberValue(names[i]!, -1, contexts[i]!))) | 0
      return sum
    }
  }
  return contender
})

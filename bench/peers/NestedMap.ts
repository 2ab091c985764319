/** The floor of what a look-up by tenant and key costs: two maps, string keys, nothing kept current. */
import type { Contender } from "../Rounds.ts"
import * as Workload from "../Workload.ts"

export const contender = (workload: Workload.Workload, order: ReadonlyArray<Workload.Pair>): Contender => {
  const nameOf = (key: number) => `${workload.keys[key]!.namespace}/${workload.keys[key]!.key}`
  const values = new Map(
    workload.tenants.map((tenant, t) => [
      tenant,
      new Map(workload.keys.map((_, k) => [nameOf(k), workload.value(t, k)] as const))
    ])
  )
  const tenants = order.map(({ tenant }) => workload.tenants[tenant]!)
  const names = order.map(({ key }) => nameOf(key))
  return {
    name: "nested Map",
    operations: order.length,
    expected: Workload.sum(workload, order),
    run: () => {
      let sum = 0
      for (let i = 0; i < tenants.length; i++) sum = (sum + values.get(tenants[i]!)!.get(names[i]!)!) | 0
      return sum
    }
  }
}

/**
 * What is read: 64 tenants with 50 keys each, every value another one, in an order that cannot be predicted.
 */
import { Schema } from "effect"
import type * as Systemplane from "effect-systemplane"
import { ConfigKey } from "effect-systemplane"
import { shuffled } from "./Statistics.ts"

export interface Workload {
  readonly tenants: ReadonlyArray<string>
  readonly keys: ReadonlyArray<ConfigKey<number>>
  /** The stored value. */
  readonly value: (tenant: number, key: number) => number
}

const keysPerNamespace = 10

/**
 * Defaults are never stored, so that a read which answers the default gives itself away. A copy of the package is to be
 * measured with keys of its own: it remembers nothing with the keys of another copy, and looks them up at each read.
 */
export const make = (
  tenants: number,
  keys: number,
  copy: Pick<typeof Systemplane, "ConfigKey"> = { ConfigKey }
): Workload => ({
  tenants: Array.from({ length: tenants }, (_, t) => `tenant-${t}`),
  keys: Array.from({ length: keys }, (_, k) =>
    copy.ConfigKey.make(`service-${Math.floor(k / keysPerNamespace)}`, `limit-${k}`, {
      schema: Schema.Int,
      defaultValue: -1
    })
  ),
  value: (tenant, key) => tenant * keys + key
})

export interface Pair {
  readonly tenant: number
  readonly key: number
}

/** One tenant, and the keys that are read on its behalf. */
export interface Request {
  readonly tenant: number
  readonly keys: ReadonlyArray<number>
}

/** How many pairs of tenant and key are read in one run, at most: a run must be short. */
const pairsPerRun = 64 * 50

/**
 * Up to 64 tenants in random order, each with keys in a random order of its own. Of a larger workload these are spread
 * over all tenants, and over all keys.
 */
export const requests = ({ keys, tenants }: Workload): ReadonlyArray<Request> => {
  const some = shuffled([...tenants.keys()]).slice(0, 64)
  const keysEach = Math.floor(pairsPerRun / some.length)
  return some.map((tenant) => ({ tenant, keys: shuffled([...keys.keys()]).slice(0, keysEach) }))
}

/** The same pairs of tenant and key, all in random order. */
export const pairs = (workload: Workload): ReadonlyArray<Pair> =>
  shuffled(requests(workload).flatMap(({ keys, tenant }) => keys.map((key) => ({ tenant, key }))))

/** What reading these pairs once sums up to. Sums stay 32-bit integers, as the loops' do. */
export const sum = ({ value }: Workload, pairs: ReadonlyArray<Pair>): number =>
  pairs.reduce((sum, { key, tenant }) => (sum + value(tenant, key)) | 0, 0)

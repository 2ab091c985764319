/**
 * What is read: 64 tenants with 50 keys each, every value another one, in an order nobody can predict.
 */
import { Schema } from "effect"
import { ConfigKey } from "effect-systemplane"
import { shuffled } from "./statistics.ts"

export interface Workload {
  readonly tenants: ReadonlyArray<string>
  readonly keys: ReadonlyArray<ConfigKey<number>>
  /** The stored value. */
  readonly value: (tenant: number, key: number) => number
}

const keysPerNamespace = 10

/** Defaults are never stored, so that a read which answers the default gives itself away. */
export const make = (tenants: number, keys: number): Workload => ({
  tenants: Array.from({ length: tenants }, (_, t) => `tenant-${t}`),
  keys: Array.from({ length: keys }, (_, k) =>
    ConfigKey.make(`service-${Math.floor(k / keysPerNamespace)}`, `limit-${k}`, {
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

/** Every pair of tenant and key once, in random order. */
export const pairs = ({ keys, tenants }: Workload): ReadonlyArray<Pair> =>
  shuffled(tenants.flatMap((_, tenant) => keys.map((_, key) => ({ tenant, key }))))

/** All tenants in random order, each with all keys in a random order of its own: what a fiber per tenant reads. */
export const requests = (
  workload: Workload
): ReadonlyArray<{ readonly tenant: number; readonly keys: ReadonlyArray<number> }> =>
  shuffled(workload.tenants.map((_, tenant) => ({ tenant, keys: shuffled([...workload.keys.keys()]) })))

/** What reading every pair once sums up to. Sums stay 32-bit integers, as the loops' do. */
export const sum = ({ keys, tenants, value }: Workload): number =>
  tenants.reduce((sum, _, tenant) => keys.reduce((sum, _, key) => (sum + value(tenant, key)) | 0, sum), 0)

/**
 * `npm run check:growth`: the heap of a plane before and after a hundred thousand tenants, watches, waits and invented
 * ids; some ten minutes. It fails if a part grew by more than five megabytes, which is fifty bytes for each.
 */
import { Effect } from "effect"
import * as Growth from "./Growth.ts"

const count = Number(process.argv[2] ?? 100_000)

/** Caches with a bound of 10,000 are full by then. */
const warmUp = Number(process.argv[3] ?? 25_000)

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)

const measured = await Effect.runPromise(Growth.measure(warmUp, count))
for (const [part, { after, before }] of Object.entries(measured)) {
  console.log(`${part}: ${megabytes(before)} MB after ${warmUp}, ${megabytes(after)} MB after ${count} more`)
  if (after - before > 5e6) process.exitCode = 1
}

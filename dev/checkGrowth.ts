/**
 * `npm run check:growth`: the heap of a plane on the way through a hundred thousand tenants, watches and waits, and
 * through as many invented ids; some five minutes on a machine with nothing else to do. It fails if one of them grew by
 * more than five megabytes, which is fifty bytes for each.
 *
 * `npm run check:growth -- COUNT WARMUP PART`: another number of ids, before the first look, and only `lifecycle` or
 * `invented`.
 */
import { Effect } from "effect"
import * as Growth from "./Growth.ts"

const count = Number(process.argv[2] ?? 100_000)

/** Caches with a bound of 10,000 are full by then. */
const warmUp = Number(process.argv[3] ?? 25_000)

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)

const started = performance.now()
const { invented, lifecycle } = Growth
for (const [part, measured] of Object.entries({ lifecycle, invented })) {
  if ((process.argv[4] ?? part) !== part) continue
  const { grown } = await Effect.runPromise(
    measured({
      warmUp,
      count,
      onHeap: (done, bytes) =>
        console.log(
          `${part}: ${megabytes(bytes)} MB after ${done}, at ${((performance.now() - started) / 1000).toFixed()} s`
        )
    })
  )
  if (grown > 5e6) process.exitCode = 1
}

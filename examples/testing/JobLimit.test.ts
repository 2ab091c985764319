/** How to test code that follows its configuration: no database, no waiting, and outages on demand. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { withTenant } from "effect-systemplane"
import { MemoryDriver, SystemplaneMemory } from "effect-systemplane/testing"
import { MaxJobs, makeJobLimit } from "./JobLimit.ts"

const Plane = SystemplaneMemory({ keys: [MaxJobs], tenants: ["acme"] })

/** Starts 10 jobs that never end, and returns how many of them run. */
const startJobs = Effect.gen(function* () {
  const withPermit = yield* makeJobLimit
  let running = 0
  const job = Effect.andThen(
    Effect.sync(() => running++),
    Effect.never
  )
  yield* Effect.forEach(Array(10), () => Effect.forkScoped(withPermit(job)))
  return () => running
})

it.effect("jobs that wait start as soon as an operator raises the limit", () =>
  Effect.gen(function* () {
    const running = yield* startJobs
    yield* TestClock.adjust("1 second")
    assert.strictEqual(running(), 2)

    const acme = yield* MemoryDriver.tenant("acme")
    yield* acme.write(MaxJobs, 4)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(running(), 4)
  }).pipe(withTenant("acme"), Effect.provide(Plane))
)

it.effect("the limit stays during an outage of the database, and what was missed counts afterwards", () =>
  Effect.gen(function* () {
    const running = yield* startJobs
    const acme = yield* MemoryDriver.tenant("acme")
    yield* acme.feed.set(MemoryDriver.blackHole)
    yield* acme.write(MaxJobs, 4)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(running(), 2)

    yield* acme.feed.set(MemoryDriver.healthy)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(running(), 4)
  }).pipe(withTenant("acme"), Effect.provide(Plane))
)

/** A limit on concurrent jobs that follows the tenant's configuration while jobs run. */
import { Effect, Schema, Semaphore, Stream } from "effect"
import { Config, ConfigKey } from "effect-systemplane"

export const MaxJobs = ConfigKey.make("jobs", "max-at-once", {
  schema: Schema.Int.check(Schema.isGreaterThan(0)),
  defaultValue: 2,
  description: "Jobs of a tenant that run at once"
})

/** Runs effects within the limit of the current tenant, for as long as the scope is open. */
export const makeJobLimit = Effect.gen(function* () {
  const permits = yield* Semaphore.make(yield* Config.get(MaxJobs))
  yield* Config.watch(MaxJobs).pipe(
    Stream.runForEach(({ value }) => permits.resize(value)),
    Effect.forkScoped
  )
  return permits.withPermit
})

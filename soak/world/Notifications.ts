/** Listens as any role can that may connect, and checks that notifications carry no value. */
import { Effect, Queue, Schedule } from "effect"
import type { Tenant } from "./World.ts"

const allowed = ["key", "namespace", "op", "revision"]

/** What a payload carries that it should not; `undefined` if nothing. */
export const problemOf = (payload: string): string | undefined => {
  const names = Object.keys(JSON.parse(payload)).sort()
  return names.every((name) => allowed.includes(name)) ? undefined : `a notification carries ${names.join(", ")}`
}

/** Goes on until interrupted, on one session after another. */
export const run = ({ database }: Tenant, heard: (problem: string | undefined) => void) =>
  Effect.gen(function* () {
    const notifications = yield* database.client.listen("systemplane_changes")
    while (true) heard(problemOf((yield* Queue.take(notifications)).payload))
  }).pipe(Effect.scoped, Effect.retry(Schedule.spaced("500 millis")))

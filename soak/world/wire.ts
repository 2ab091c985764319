/** Listens as any role may that can connect, and reads what notifications say. */
import { Effect, Queue, Schedule } from "effect"
import type { Tenant } from "./World.ts"

const allowed = ["key", "namespace", "op", "revision"]

/** What a payload says that it should not; `undefined` where there is nothing. */
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

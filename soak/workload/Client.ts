/** A client of a plane, as the workload uses it, and how it chooses what to do. */
import { Effect, Random } from "effect"
import type { ConfigError } from "effect-systemplane"
import * as Recorder from "./Recorder.ts"

export interface Client {
  readonly plane: string
  readonly tenants: ReadonlyArray<string>
  readonly recorder: Recorder.Recorder
}

/** Does something again and again, with a random pause of this many milliseconds on average before each time. */
export const repeatedly = <E, R>(pause: number, act: Effect.Effect<unknown, E, R>): Effect.Effect<never, E, R> =>
  Effect.forever(
    Effect.andThen(
      Effect.flatMap(Random.nextBetween(0, 2 * pause), (millis) => Effect.sleep(millis)),
      act
    )
  )

export const oneOf = <A>(choices: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, choices.length), (index) => choices[index % choices.length]!)

/** Picks by weight: a choice of weight 3 is taken three times as often as one of weight 1. */
export const weighted = <A>(choices: ReadonlyArray<readonly [weight: number, choice: A]>): Effect.Effect<A> => {
  const total = choices.reduce((sum, [weight]) => sum + weight, 0)
  return Effect.map(Random.nextBetween(0, total), (drawn) => {
    let left = drawn
    for (const [weight, choice] of choices) {
      left -= weight
      if (left < 0) return choice
    }
    return choices.at(-1)![1]
  })
}

/** An error may name its own tenant, and no other. */
export const onlyNames = (client: Client, tenant: string, error: ConfigError): Effect.Effect<void> => {
  const foreign = error.message.match(/tenant-\d+/g)?.find((name) => name !== tenant)
  return foreign === undefined
    ? Effect.void
    : Recorder.broken(
        client.recorder,
        client.plane,
        "brokeIsolation",
        `an error names ${foreign}: ${error.message}`,
        tenant
      )
}

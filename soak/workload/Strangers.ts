/**
 * Requests that name tenants which do not exist, as a scanner's do. Each must fail, and none may hurt a real tenant.
 */
import { Effect, Exit, Random } from "effect"
import { Config, type ConfigError, withTenant } from "effect-systemplane"
import * as Keys from "../Keys.ts"
import { type Client, oneOf, repeatedly } from "./Client.ts"
import * as Recorder from "./Recorder.ts"

/** Goes on until interrupted: a handful of requests at once, on average each `pause` milliseconds. */
export const run = (client: Client, pause: number) =>
  repeatedly(
    pause,
    Effect.forEach(Array.from({ length: 5 }), () => request(client), { concurrency: "unbounded" })
  )

const request = (client: Client) =>
  Effect.gen(function* () {
    const number = Math.floor((yield* Random.next) * 1e9)
    const tenant = yield* oneOf([`invented-${number}`, `invented-${number % 7}`, `${client.tenants[0]}x${number}`])
    const key = yield* oneOf(Keys.all)
    const reads: ReadonlyArray<Effect.Effect<unknown, ConfigError, Config>> = [
      Config.get(key),
      Config.entry(key),
      Config.snapshot,
      Config.set(key, { tenant, stamp: "invented" }, { actor: client.plane })
    ]
    const read = yield* oneOf(reads)
    const exit = yield* Effect.exit(read.pipe(withTenant(tenant)))
    if (Exit.isSuccess(exit)) {
      yield* Recorder.broken(
        client.recorder,
        client.plane,
        "brokeIsolation",
        `${tenant}, which does not exist, has a value`
      )
    }
  })

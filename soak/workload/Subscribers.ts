/**
 * Subscribers of a plane: one that records every change, one that watches, and others that hang, dawdle and die, which
 * must not disturb the first two.
 */
import { Effect, Option, Schedule, Stream } from "effect"
import { type Change, Config, TenantManager, withTenant } from "effect-systemplane"
import * as Keys from "../Keys.ts"
import type { Seen } from "../Messages.ts"
import type { Client } from "./Client.ts"
import { observing, partsOf } from "./Recorder.ts"

/** What the subscribers were last told, as `stamp/revision`, by tenant and key. */
export type Heard = Map<string, string>

/** Subscribed when it returns, for as long as the scope lives. */
export const subscribe = (client: Client, heard: Heard) =>
  Effect.gen(function* () {
    const manager = yield* TenantManager
    const note = observing(client.recorder, client.plane)

    const hear = (key: Keys.SoakKey) => (change: Change<unknown>) =>
      Effect.gen(function* () {
        const now = yield* client.recorder.end
        const status = Option.getOrUndefined(yield* manager.status(change.tenant))
        const value = change.value as Seen
        heard.set(`${change.tenant}/${Keys.nameOf(key)}`, `${String(value.stamp)}/${change.revision}`)
        const liveSince = status?.state === "live" ? status.since.epochMilliseconds - now.ahead : undefined
        const shown = { observer: "changes", via: "onChange", value, revision: change.revision, liveSince } as const
        note(change.tenant, key, shown, now, now)
      })

    const watch = (tenant: string, key: Keys.SoakKey) =>
      Stream.runForEach(Config.watch(key), (entry) =>
        Effect.map(client.recorder.end, (now) => {
          const { revision, value } = partsOf(entry)
          note(tenant, key, { observer: "watch", via: "watch", value, revision }, now, now)
        })
      ).pipe(Effect.retry(Schedule.spaced("200 millis")), withTenant(tenant))

    yield* Config.onChange(Keys.Plain, () => Effect.never)
    yield* Config.onChange(Keys.Rough, () => Effect.sleep("3 seconds"))
    yield* Config.onChange(Keys.Left, () => Effect.die("a subscriber that dies"))
    yield* Config.onChange(Keys.Right, (): Effect.Effect<void> => {
      throw new TypeError("a handler that throws")
    })
    for (const key of Keys.all) yield* Config.onChange(key, hear(key))
    for (const tenant of client.tenants.slice(0, 10)) {
      yield* Effect.forkScoped(watch(tenant, Keys.Rough))
    }
  })

/**
 * Subscribers of a plane: one that hears of every change, one that watches, and others that hang, dawdle and die, and should
 * be noticed by nobody.
 */
import { Effect, Option, Schedule, Stream } from "effect"
import { type Change, Config, TenantManager, withTenant } from "effect-systemplane"
import * as keys from "../keys.ts"
import type { Seen } from "../Messages.ts"
import type { Actor } from "./Actor.ts"
import { observing, partsOf } from "./Recorder.ts"

/** What the subscribers heard last, as `stamp/revision`, by tenant and key. */
export type Heard = Map<string, string>

/** Subscribed when it returns, for as long as the scope lives. */
export const subscribe = (actor: Actor, heard: Heard) =>
  Effect.gen(function* () {
    const manager = yield* TenantManager
    const note = observing(actor.recorder, actor.plane)

    const hear = (key: keys.SoakKey) => (change: Change<unknown>) =>
      Effect.gen(function* () {
        const now = yield* actor.recorder.end
        const status = Option.getOrUndefined(yield* manager.status(change.tenant))
        const value = change.value as Seen
        heard.set(`${change.tenant}/${keys.nameOf(key)}`, `${String(value.stamp)}/${change.revision}`)
        const liveSince = status?.state === "live" ? status.since.epochMilliseconds : undefined
        const shown = { observer: "changes", via: "onChange", value, revision: change.revision, liveSince } as const
        note(change.tenant, key, shown, now, now)
      })

    const watch = (tenant: string, key: keys.SoakKey) =>
      Stream.runForEach(Config.watch(key), (entry) =>
        Effect.map(actor.recorder.end, (now) => {
          const { revision, value } = partsOf(entry)
          note(tenant, key, { observer: "watch", via: "watch", value, revision }, now, now)
        })
      ).pipe(Effect.retry(Schedule.spaced("200 millis")), withTenant(tenant))

    yield* Config.onChange(keys.Plain, () => Effect.never)
    yield* Config.onChange(keys.Rough, () => Effect.sleep("3 seconds"))
    yield* Config.onChange(keys.Left, () => Effect.die("a subscriber that dies"))
    for (const key of keys.all) yield* Config.onChange(key, hear(key))
    for (const tenant of actor.tenants.slice(0, 10)) {
      yield* Effect.forkScoped(watch(tenant, keys.Rough))
    }
  })

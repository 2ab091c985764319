/** Read a plane in every way there is. */
import { Effect } from "effect"
import { Config, type ConfigError, withTenant } from "effect-systemplane"
import * as keys from "../keys.ts"
import type { Seen } from "../Messages.ts"
import { type Actor, oneOf, onlyNames, repeatedly, weighted } from "./Actor.ts"
import { observing, partsOf } from "./Recorder.ts"

/** So many, since one that meets a server which does not answer waits for seconds. */
const readers = 8

/** Reads that go on until interrupted; on average one in `pause` milliseconds. */
export const run = (actor: Actor, pause: number) =>
  Effect.all(
    Array.from({ length: readers }, () => repeatedly(pause * readers, readOnce(actor))),
    { concurrency: "unbounded", discard: true }
  )

const readOnce = (actor: Actor) =>
  Effect.gen(function* () {
    const tenant = yield* oneOf(actor.tenants)
    const key = yield* oneOf(keys.all)
    const how = yield* weighted([
      [4, "entry"],
      [3, "get"],
      [2, "pair"],
      [1, "list"]
    ] as const)
    const read = { entry: readEntry, get: readValue, pair: readPair, list: readList }[how]
    yield* read(actor, tenant, key).pipe(
      withTenant(tenant),
      Effect.catch((error) => onlyNames(actor, tenant, error))
    )
  })

/** Reads an entry, or notes what the error says was last known. */
export const readEntry = (actor: Actor, tenant: string, key: keys.SoakKey) =>
  Effect.gen(function* () {
    const began = yield* actor.recorder.begin
    const entry = yield* Effect.tapError(Config.entry(key), (error) => noteLastKnown(actor, tenant, key, error))
    const ended = yield* actor.recorder.end
    const shown = { observer: "reads", via: "entry", ...partsOf(entry) } as const
    observing(actor.recorder, actor.plane)(tenant, key, shown, began, ended)
    return entry
  })

const noteLastKnown = (actor: Actor, tenant: string, key: keys.SoakKey, { reason }: ConfigError) =>
  Effect.gen(function* () {
    if (reason._tag !== "Unavailable" || reason.lastKnown === undefined) return
    const now = yield* actor.recorder.end
    // It was taken when the error was made, a moment ago: another read may have seen more since.
    const shown = { observer: "last known", via: "an error", ...partsOf(reason.lastKnown) } as const
    observing(actor.recorder, actor.plane)(tenant, key, shown, now, now)
  })

export const readValue = (actor: Actor, tenant: string, key: keys.SoakKey) =>
  Effect.gen(function* () {
    const began = yield* actor.recorder.begin
    const value = yield* Config.get(key)
    const ended = yield* actor.recorder.end
    observing(actor.recorder, actor.plane)(tenant, key, { observer: "reads", via: "get", value }, began, ended)
  })

export const readPair = (actor: Actor, tenant: string) =>
  Effect.gen(function* () {
    const began = yield* actor.recorder.begin
    const snapshot = yield* Config.snapshot
    const ended = yield* actor.recorder.end
    const [left, right] = [snapshot.entry(keys.Left), snapshot.entry(keys.Right)]
    const note = observing(actor.recorder, actor.plane)
    note(tenant, keys.Left, { observer: "reads", via: "snapshot", ...partsOf(left) }, began, ended)
    note(tenant, keys.Right, { observer: "reads", via: "snapshot", ...partsOf(right) }, began, ended)
    const [of, beside] = [left.value, right.value] as ReadonlyArray<Seen>
    actor.recorder.note({
      _tag: "PairSeen",
      plane: actor.plane,
      tenant,
      at: ended.at,
      stale: left.stale,
      left: of!,
      right: beside!
    })
  })

const readList = (actor: Actor, tenant: string) =>
  Effect.gen(function* () {
    const began = yield* actor.recorder.begin
    const entries = yield* Config.list(keys.Plain.namespace)
    const ended = yield* actor.recorder.end
    for (const entry of entries) {
      const key = keys.all.find((key) => key.namespace === entry.namespace && key.key === entry.key)!
      observing(actor.recorder, actor.plane)(
        tenant,
        key,
        { observer: "reads", via: "list", ...partsOf(entry) },
        began,
        ended
      )
    }
  })

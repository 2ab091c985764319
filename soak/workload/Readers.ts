/** Readers: they read a plane in every way there is. */
import { Effect } from "effect"
import { Config, type ConfigError, withTenant } from "effect-systemplane"
import * as Keys from "../Keys.ts"
import type { Seen } from "../Messages.ts"
import { type Client, oneOf, onlyNames, repeatedly, weighted } from "./Client.ts"
import { observing, partsOf } from "./Recorder.ts"

/** Several, since a read that meets a server which does not answer waits for seconds. */
const readers = 8

/** Reads that go on until interrupted; on average one in `pause` milliseconds. */
export const run = (client: Client, pause: number) =>
  Effect.all(
    Array.from({ length: readers }, () => repeatedly(pause * readers, readOnce(client))),
    { concurrency: "unbounded", discard: true }
  )

const readOnce = (client: Client) =>
  Effect.gen(function* () {
    const tenant = yield* oneOf(client.tenants)
    const key = yield* oneOf(Keys.all)
    const how = yield* weighted([
      [4, "entry"],
      [3, "get"],
      [2, "pair"],
      [1, "list"]
    ] as const)
    const read = { entry: readEntry, get: readValue, pair: readPair, list: readList }[how]
    yield* read(client, tenant, key).pipe(
      withTenant(tenant),
      Effect.catch((error) => onlyNames(client, tenant, error))
    )
  })

/** Reads an entry, or records the last known entry that the error carries. */
export const readEntry = (client: Client, tenant: string, key: Keys.SoakKey) =>
  Effect.gen(function* () {
    const began = yield* client.recorder.begin
    const entry = yield* Effect.tapError(Config.entry(key), (error) => noteLastKnown(client, tenant, key, error))
    const ended = yield* client.recorder.end
    const shown = { observer: "reads", via: "entry", ...partsOf(entry) } as const
    observing(client.recorder, client.plane)(tenant, key, shown, began, ended)
    return entry
  })

const noteLastKnown = (client: Client, tenant: string, key: Keys.SoakKey, { reason }: ConfigError) =>
  Effect.gen(function* () {
    if (reason._tag !== "Unavailable" || reason.lastKnown === undefined) return
    const now = yield* client.recorder.end
    // It was taken when the error was made, a moment ago: another read may have seen more since.
    const shown = { observer: "last known", via: "an error", ...partsOf(reason.lastKnown) } as const
    observing(client.recorder, client.plane)(tenant, key, shown, now, now)
  })

export const readValue = (client: Client, tenant: string, key: Keys.SoakKey) =>
  Effect.gen(function* () {
    const began = yield* client.recorder.begin
    const value = yield* Config.get(key)
    const ended = yield* client.recorder.end
    observing(client.recorder, client.plane)(tenant, key, { observer: "reads", via: "get", value }, began, ended)
  })

export const readPair = (client: Client, tenant: string) =>
  Effect.gen(function* () {
    const began = yield* client.recorder.begin
    const snapshot = yield* Config.snapshot
    const ended = yield* client.recorder.end
    const [left, right] = [snapshot.entry(Keys.Left), snapshot.entry(Keys.Right)]
    const note = observing(client.recorder, client.plane)
    note(tenant, Keys.Left, { observer: "reads", via: "snapshot", ...partsOf(left) }, began, ended)
    note(tenant, Keys.Right, { observer: "reads", via: "snapshot", ...partsOf(right) }, began, ended)
    const [of, beside] = [left.value, right.value] as ReadonlyArray<Seen>
    client.recorder.note({
      _tag: "PairSeen",
      plane: client.plane,
      tenant,
      at: ended.at,
      stale: left.stale,
      left: of!,
      right: beside!
    })
  })

const readList = (client: Client, tenant: string) =>
  Effect.gen(function* () {
    const began = yield* client.recorder.begin
    const entries = yield* Config.list(Keys.Plain.namespace)
    const ended = yield* client.recorder.end
    for (const entry of entries) {
      const key = Keys.all.find((key) => key.namespace === entry.namespace && key.key === entry.key)!
      observing(client.recorder, client.plane)(
        tenant,
        key,
        { observer: "reads", via: "list", ...partsOf(entry) },
        began,
        ended
      )
    }
  })

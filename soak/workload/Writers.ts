/** Writers: they write through a plane, and read at once what they wrote. */
import { Effect } from "effect"
import { Config, type ConfigError, ConfigKey, type Entry, withTenant } from "effect-systemplane"
import * as Keys from "../Keys.ts"
import type { Written } from "../Messages.ts"
import { type Client, oneOf, onlyNames, repeatedly, weighted } from "./Client.ts"
import { readEntry } from "./Readers.ts"
import { type Began, observing, partsOf } from "./Recorder.ts"

/** Several, since a writer whose connection was lost waits for many seconds for the outcome of its write. */
const writers = 6

/** Writes that go on until interrupted; on average one in `pause` milliseconds. */
export const run = (client: Client, pause: number) => {
  const stamp = makeStamps(client.plane)
  return Effect.all(
    Array.from({ length: writers }, () => repeatedly(pause * writers, writeOnce(client, stamp))),
    { concurrency: "unbounded", discard: true }
  )
}

const makeStamps = (plane: string) => {
  let count = 0
  return () => `${plane}-${++count}`
}

const writeOnce = (client: Client, stamp: () => string) =>
  Effect.gen(function* () {
    const tenant = yield* oneOf(client.tenants)
    const key = yield* oneOf([Keys.Plain, Keys.Rough, Keys.Moody])
    const how = yield* weighted([
      [5, set(client, tenant, key, stamp())],
      [2, remove(client, tenant, key)],
      [3, setPair(client, tenant, stamp())],
      [3, setGuarded(client, tenant, stamp())],
      [1, removeGuarded(client, tenant)]
    ])
    yield* how.pipe(
      withTenant(tenant),
      Effect.catch((error) => onlyNames(client, tenant, error))
    )
  })

export const set = (client: Client, tenant: string, key: Keys.SoakKey, stamp: string) =>
  writing(
    client,
    tenant,
    [{ key, stamp }],
    Effect.map(Config.set(key, { tenant, stamp }, { actor: client.plane }), (entry) => [entry])
  )

export const setPair = (client: Client, tenant: string, stamp: string) =>
  writing(
    client,
    tenant,
    [
      { key: Keys.Left, stamp },
      { key: Keys.Right, stamp }
    ],
    Config.setAll([ConfigKey.value(Keys.Left, { tenant, stamp }), ConfigKey.value(Keys.Right, { tenant, stamp })], {
      actor: client.plane
    })
  )

/** Guarded writers of all planes compete here: of those that read the same revision, one may write. */
export const setGuarded = (client: Client, tenant: string, stamp: string) =>
  Effect.gen(function* () {
    const { revision } = yield* readEntry(client, tenant, Keys.Guarded)
    yield* writing(
      client,
      tenant,
      [{ key: Keys.Guarded, stamp, ifRevision: revision }],
      Effect.map(
        Config.set(Keys.Guarded, { tenant, stamp }, { actor: client.plane, ifRevision: revision }),
        (entry) => [entry]
      )
    )
  })

export const remove = (client: Client, tenant: string, key: Keys.SoakKey) =>
  Effect.gen(function* () {
    const began = yield* client.recorder.begin
    const entry = yield* Config.remove(key, { actor: client.plane })
    yield* noteReturned(client, tenant, key, entry, began)
    yield* readEntry(client, tenant, key)
  })

const removeGuarded = (client: Client, tenant: string) =>
  Effect.gen(function* () {
    const { revision } = yield* readEntry(client, tenant, Keys.Guarded)
    if (revision === 0) return
    yield* Config.remove(Keys.Guarded, { actor: client.plane, ifRevision: revision })
    const ended = yield* client.recorder.end
    client.recorder.note({
      _tag: "Removed",
      plane: client.plane,
      tenant,
      key: Keys.nameOf(Keys.Guarded),
      revision,
      ended: ended.number,
      answeredAt: ended.at
    })
    yield* readEntry(client, tenant, Keys.Guarded)
  })

interface Write {
  readonly key: Keys.SoakKey
  readonly stamp: string
  readonly ifRevision?: number
}

/** Records the outcome of a write, what it returned, and what a read that begins after it shows. */
const writing = <R>(
  client: Client,
  tenant: string,
  writes: ReadonlyArray<Write>,
  write: Effect.Effect<ReadonlyArray<Entry<unknown>>, ConfigError, R>
) =>
  Effect.gen(function* () {
    const began = yield* client.recorder.begin
    const entries = yield* Effect.tapError(write, (error) => noteWritten(client, tenant, writes, outcomeOf(error)))
    yield* noteWritten(client, tenant, writes, "landed")
    for (const [i, { key, stamp }] of writes.entries()) {
      yield* noteReturned(client, tenant, key, entries[i]!, began, stamp)
    }
    for (const { key } of writes) yield* readEntry(client, tenant, key)
  })

const noteWritten = (client: Client, tenant: string, writes: ReadonlyArray<Write>, outcome: Written["outcome"]) =>
  Effect.map(client.recorder.end, (ended) => {
    const named = writes.map(({ key, ...write }) => ({ key: Keys.nameOf(key), ...write }))
    client.recorder.note({
      _tag: "Written",
      plane: client.plane,
      tenant,
      writes: named,
      outcome,
      ended: ended.number,
      answeredAt: ended.at
    })
  })

const noteReturned = (
  client: Client,
  tenant: string,
  key: Keys.SoakKey,
  entry: Entry<unknown>,
  began: Began,
  written?: string
) =>
  Effect.map(client.recorder.end, (ended) =>
    observing(client.recorder, client.plane)(
      tenant,
      key,
      { observer: "reads", via: "write", written, ...partsOf(entry) },
      began,
      ended
    )
  )

const outcomeOf = ({ reason }: ConfigError): Written["outcome"] =>
  reason._tag === "WriteOutcomeUnknown" ? "unknown" : "not"

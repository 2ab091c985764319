/** Write through a plane, and read at once what was written. */
import { Effect } from "effect"
import { Config, type ConfigError, ConfigKey, type Entry, withTenant } from "effect-systemplane"
import * as keys from "../keys.ts"
import type { Written } from "../Messages.ts"
import { type Actor, oneOf, onlyNames, repeatedly, weighted } from "./Actor.ts"
import { type Began, observing, partsOf } from "./Recorder.ts"
import { readEntry } from "./readers.ts"

/** So many, since one whose connection was lost asks for up to 15 seconds what became of its write. */
const writers = 6

/** Writes that go on until interrupted; on average one in `pause` milliseconds. */
export const run = (actor: Actor, pause: number) => {
  const stamp = makeStamps(actor.plane)
  return Effect.all(
    Array.from({ length: writers }, () => repeatedly(pause * writers, writeOnce(actor, stamp))),
    { concurrency: "unbounded", discard: true }
  )
}

const makeStamps = (plane: string) => {
  let count = 0
  return () => `${plane}-${++count}`
}

const writeOnce = (actor: Actor, stamp: () => string) =>
  Effect.gen(function* () {
    const tenant = yield* oneOf(actor.tenants)
    const key = yield* oneOf([keys.Plain, keys.Rough])
    const how = yield* weighted([
      [5, set(actor, tenant, key, stamp())],
      [2, remove(actor, tenant, key)],
      [3, setPair(actor, tenant, stamp())],
      [3, setGuarded(actor, tenant, stamp())],
      [1, removeGuarded(actor, tenant)]
    ])
    yield* how.pipe(
      withTenant(tenant),
      Effect.catch((error) => onlyNames(actor, tenant, error))
    )
  })

export const set = (actor: Actor, tenant: string, key: keys.SoakKey, stamp: string) =>
  writing(
    actor,
    tenant,
    [{ key, stamp }],
    Effect.map(Config.set(key, { tenant, stamp }, { actor: actor.plane }), (entry) => [entry])
  )

export const setPair = (actor: Actor, tenant: string, stamp: string) =>
  writing(
    actor,
    tenant,
    [
      { key: keys.Left, stamp },
      { key: keys.Right, stamp }
    ],
    Config.setAll([ConfigKey.value(keys.Left, { tenant, stamp }), ConfigKey.value(keys.Right, { tenant, stamp })], {
      actor: actor.plane
    })
  )

/** Writers of all planes meet here: of those who read the same revision, one may write. */
export const setGuarded = (actor: Actor, tenant: string, stamp: string) =>
  Effect.gen(function* () {
    const { revision } = yield* readEntry(actor, tenant, keys.Guarded)
    yield* writing(
      actor,
      tenant,
      [{ key: keys.Guarded, stamp, ifRevision: revision }],
      Effect.map(Config.set(keys.Guarded, { tenant, stamp }, { actor: actor.plane, ifRevision: revision }), (entry) => [
        entry
      ])
    )
  })

export const remove = (actor: Actor, tenant: string, key: keys.SoakKey) =>
  Effect.gen(function* () {
    const began = yield* actor.recorder.begin
    const entry = yield* Config.remove(key, { actor: actor.plane })
    yield* noteReturned(actor, tenant, key, entry, began)
    yield* readEntry(actor, tenant, key)
  })

const removeGuarded = (actor: Actor, tenant: string) =>
  Effect.gen(function* () {
    const { revision } = yield* readEntry(actor, tenant, keys.Guarded)
    if (revision === 0) return
    yield* Config.remove(keys.Guarded, { actor: actor.plane, ifRevision: revision })
    const ended = yield* actor.recorder.end
    actor.recorder.note({
      _tag: "Removed",
      plane: actor.plane,
      tenant,
      key: keys.nameOf(keys.Guarded),
      revision,
      ended: ended.number,
      answeredAt: ended.at
    })
    yield* readEntry(actor, tenant, keys.Guarded)
  })

interface Write {
  readonly key: keys.SoakKey
  readonly stamp: string
  readonly ifRevision?: number
}

/** Notes what came of a write, what it returned, and what a read that begins after it shows. */
const writing = <R>(
  actor: Actor,
  tenant: string,
  writes: ReadonlyArray<Write>,
  write: Effect.Effect<ReadonlyArray<Entry<unknown>>, ConfigError, R>
) =>
  Effect.gen(function* () {
    const began = yield* actor.recorder.begin
    const entries = yield* Effect.tapError(write, (error) => noteWritten(actor, tenant, writes, outcomeOf(error)))
    yield* noteWritten(actor, tenant, writes, "landed")
    for (const [i, { key, stamp }] of writes.entries()) {
      yield* noteReturned(actor, tenant, key, entries[i]!, began, stamp)
    }
    for (const { key } of writes) yield* readEntry(actor, tenant, key)
  })

const noteWritten = (actor: Actor, tenant: string, writes: ReadonlyArray<Write>, outcome: Written["outcome"]) =>
  Effect.map(actor.recorder.end, (ended) => {
    const named = writes.map(({ key, ...write }) => ({ key: keys.nameOf(key), ...write }))
    actor.recorder.note({
      _tag: "Written",
      plane: actor.plane,
      tenant,
      writes: named,
      outcome,
      ended: ended.number,
      answeredAt: ended.at
    })
  })

const noteReturned = (
  actor: Actor,
  tenant: string,
  key: keys.SoakKey,
  entry: Entry<unknown>,
  began: Began,
  written?: string
) =>
  Effect.map(actor.recorder.end, (ended) =>
    observing(actor.recorder, actor.plane)(
      tenant,
      key,
      { observer: "reads", via: "write", written, ...partsOf(entry) },
      began,
      ended
    )
  )

const outcomeOf = ({ reason }: ConfigError): Written["outcome"] =>
  reason._tag === "WriteOutcomeUnknown" ? "unknown" : "not"

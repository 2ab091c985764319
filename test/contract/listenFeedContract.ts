import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Queue, Stream } from "effect"
import { type EntryStore, type FeedEvent, type KeyName, ListenFeed } from "effect-systemplane"
import { soon } from "../support/Observe.ts"
import { put } from "../support/StoreWrites.ts"
import { eventually } from "../support/TestDatabase.ts"
import { Acme, acme } from "./Acme.ts"
import type { Implementation } from "./Implementation.ts"

const a: KeyName = { namespace: "n", key: "a" }
const b: KeyName = { namespace: "n", key: "b" }

/** Runs the feed until the scope closes; what it emits can be taken one by one. */
const follow = Effect.gen(function* () {
  const feed = yield* ListenFeed
  const events = yield* Queue.unbounded<FeedEvent>()
  yield* Effect.forkScoped(
    Stream.runForEach(feed.events(acme), (event) => Queue.offer(events, event)),
    { startImmediately: true }
  )
  return Queue.take(events)
})

/** The next event, which must be of this kind. */
const next = <Tag extends FeedEvent["_tag"]>(take: Effect.Effect<FeedEvent>, tag: Tag) =>
  Effect.map(soon(tag, take), (event) => {
    assert.strictEqual(event._tag, tag)
    return event as Extract<FeedEvent, { readonly _tag: Tag }>
  })

const connected = (take: Effect.Effect<FeedEvent>) => Effect.map(next(take, "Connected"), ({ session }) => session)

/** Takes events until `count` notifications came. */
const notified = (take: Effect.Effect<FeedEvent>, count: number) =>
  Effect.gen(function* () {
    const all = []
    while (all.length < count) all.push(...(yield* next(take, "Changed")).notifications)
    return all
  })

const listenersBecome = (count: number) =>
  Acme.use((db) =>
    eventually(
      `${count} listeners`,
      Effect.map(db.listeners, (listeners) => listeners === count)
    )
  )

/** `inSteps`: whether a read may be several statements. */
export const listenFeedContract = <Database>(
  { database, name, services }: Implementation<Database>,
  { inSteps }: { readonly inSteps: boolean }
) =>
  layer(database, { excludeTestServices: true, timeout: "30 seconds" })(`ListenFeed: ${name}`, (it) => {
    const test = (title: string, effect: Effect.Effect<unknown, unknown, any>) =>
      it.effect(title, () =>
        Effect.provide(Effect.scoped(effect) as Effect.Effect<unknown, unknown, Services>, services)
      )

    test(
      "connects, and tells of what is committed from then on, in the order of commit",
      Effect.gen(function* () {
        const db = yield* Acme
        yield* db.write(a, 0)
        const take = yield* follow
        const session = yield* connected(take)
        yield* db.write(a, 1)
        yield* db.write(b, 2)
        const revision = yield* db.write(a, 3)
        yield* db.erase(b)
        assert.deepStrictEqual(yield* notified(take, 4), [
          { ...a, op: "upsert" },
          { ...b, op: "upsert" },
          { ...a, op: "upsert" },
          { ...b, op: "delete" }
        ])
        const keys = [a, b]
        const diff = yield* session.diff(keys, [undefined, undefined])
        assert.deepStrictEqual(
          diff.map(({ row, slot }) => [slot, row?.value, row?.revision]),
          [[0, 3, revision]]
        )
        if (!inSteps) return
        let arrived = 0
        const again = session.diff(keys, [diff[0]!.row!.fingerprint, undefined], () => arrived++)
        assert.deepStrictEqual(yield* again, [])
        assert.isAtLeast(arrived, 1, "G4: each answer says that the session is alive, also while others are waited for")
      })
    )

    test(
      "G14: a notification carries names, never a value",
      Effect.gen(function* () {
        const take = yield* follow
        yield* connected(take)
        yield* Acme.use((db) => db.write(a, "canary"))
        const events = yield* next(take, "Changed")
        assert.notInclude(JSON.stringify(events), "canary")
      })
    )

    test(
      "tells of a transaction once it is committed, and what it says twice only once",
      Effect.gen(function* () {
        const db = yield* Acme
        yield* db.write(b, 0)
        const take = yield* follow
        yield* connected(take)
        yield* db.transact([
          { key: b },
          { key: b, value: 1 },
          { key: b },
          { key: b, value: 2 },
          { key: { namespace: "n", key: "never there" } },
          { key: a, value: 3 }
        ])
        const all = yield* notified(take, 4)
        assert.deepStrictEqual(
          all.map(({ key, op }) => [key, op]),
          [
            ["b", "delete"],
            ["b", "upsert"],
            ["b", "upsert"],
            ["a", "upsert"]
          ]
        )
        yield* db.write(a, "next")
        assert.strictEqual((yield* notified(take, 1)).length, 1)
      })
    )

    test(
      "tells of a row written again by the plane, which says when; not of one that stays as it was, nor without triggers",
      Effect.gen(function* () {
        const db = yield* Acme
        yield* db.write(a, 1)
        const take = yield* follow
        yield* connected(take)
        yield* db.write(a, 1)
        yield* db.withoutTriggers([{ key: b, value: 1 }])
        yield* db.withoutTriggers([{ key: b }])
        yield* db.erase(b)
        yield* put(a, "1", { actor: "stranger" })
        assert.deepStrictEqual(yield* notified(take, 1), [{ ...a, op: "upsert" }])
      })
    )

    test(
      "does not tell of names that no payload can hold",
      Effect.gen(function* () {
        const db = yield* Acme
        const take = yield* follow
        yield* connected(take)
        yield* db.write({ namespace: "n\u0001".repeat(600), key: "\u0001".repeat(1200) }, 1)
        yield* db.write({ namespace: "🐟".repeat(255), key: "k".repeat(255) }, 1)
        assert.strictEqual((yield* notified(take, 1))[0]?.namespace, "🐟".repeat(255))
      })
    )

    test(
      "G13: the feed reports that a session was lost, and connects again",
      Effect.gen(function* () {
        const db = yield* Acme
        const take = yield* follow
        const session = yield* connected(take)
        yield* session.confirm
        assert.strictEqual(yield* db.killListeners, 1)
        const { error, failures, retryIn } = yield* next(take, "Disconnected")
        assert.strictEqual(error.step, "session")
        assert.strictEqual(failures, 0)
        assert.isAtMost(retryIn, 20)
        const again = yield* connected(take)
        yield* db.write(a, 1)
        yield* notified(take, 1)
        assert.strictEqual((yield* again.diff([a], [undefined])).length, 1)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(session.diff([a], [undefined]))))
      })
    )

    test(
      "gives a session up when its reader says so, or gives up reading; one that was never confirmed is a failure",
      Effect.gen(function* () {
        const take = yield* follow
        const session = yield* connected(take)
        yield* Effect.andThen(session.abandon, session.abandon)
        assert.strictEqual((yield* next(take, "Disconnected")).failures, 1)
        yield* connected(take)
        yield* listenersBecome(1)
      })
    )

    test(
      "G12: each run of the feed has a session of its own, which ends with it",
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const [one, two] = [yield* follow, yield* follow]
            yield* connected(one)
            yield* connected(two)
            yield* listenersBecome(2)
            yield* Acme.use((db) => db.write(a, 1))
            yield* notified(one, 1)
            yield* notified(two, 1)
          })
        )
        yield* listenersBecome(0)
      })
    )
  })

type Services = Acme | EntryStore | ListenFeed

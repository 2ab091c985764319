import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Scope, Stream } from "effect"
import * as Fanout from "../../src/layers/cache/Fanout.ts"

interface Change {
  readonly of: string
  readonly from: number
  readonly to: number
}

const change = (of: string, from: number, to: number): Change => ({ of, from, to })

/** The newest, as seen from the one before the first that waited. */
const joined = () => Fanout.makeMailbox<string, Change>((waiting, newer) => ({ ...newer, from: waiting.from }))

const offer = (mailbox: Fanout.Mailbox<string, Change>, ...changes: ReadonlyArray<Change>) => {
  for (const change of changes) mailbox.offer(change.of, change)
}

describe("Fanout's mailbox", () => {
  it.effect(
    "Fanout's mailbox joins up what waits under one key, and keeps the keys in the order in which they came",
    () =>
      Effect.gen(function* () {
        const mailbox = joined()
        offer(mailbox, change("a", 0, 1), change("b", 0, 7), change("a", 1, 2), change("a", 2, 3))
        assert.deepStrictEqual(yield* mailbox.take, [change("a", 0, 3), change("b", 0, 7)])
      })
  )

  it.effect("Fanout's mailbox joins nothing to what was taken, and orders the keys anew", () =>
    Effect.gen(function* () {
      const mailbox = joined()
      offer(mailbox, change("a", 0, 1), change("b", 0, 7))
      yield* mailbox.take
      offer(mailbox, change("b", 7, 8), change("a", 1, 2))
      assert.deepStrictEqual(yield* mailbox.take, [change("b", 7, 8), change("a", 1, 2)])
    })
  )

  it.effect("Fanout's mailbox merges two changes into one even if their value is undefined", () =>
    Effect.gen(function* () {
      const mailbox = Fanout.makeMailbox<void, void>(() => undefined)
      mailbox.offer(undefined, undefined)
      mailbox.offer(undefined, undefined)
      assert.deepStrictEqual(yield* mailbox.take, [undefined])
    })
  )

  it.effect("Fanout's mailbox makes its reader wait while it is empty, at first and after each taking", () =>
    Effect.gen(function* () {
      const mailbox = joined()
      for (const to of [1, 2]) {
        const reader = yield* Effect.forkChild(mailbox.take, { startImmediately: true })
        yield* Effect.yieldNow
        assert.isUndefined(reader.pollUnsafe())
        offer(mailbox, change("a", 0, to))
        assert.deepStrictEqual(yield* Fiber.join(reader), [change("a", 0, to)])
      }
    })
  )

  it.effect("Fanout's mailbox keeps what comes after a reader gave up waiting", () =>
    Effect.gen(function* () {
      const mailbox = joined()
      const reader = yield* Effect.forkChild(mailbox.take, { startImmediately: true })
      yield* Fiber.interrupt(reader)
      offer(mailbox, change("a", 0, 1))
      assert.deepStrictEqual(yield* mailbox.take, [change("a", 0, 1)])
    })
  )
})

describe("a fan-out", () => {
  const make = Effect.sync(() => Fanout.make<string, string, Change>())

  it.effect("G8: a fan-out gives a slow reader the newest value, and meanwhile gives another reader every value", () =>
    Effect.gen(function* () {
      const fanout = yield* make
      const [slow, fast] = [joined(), joined()]
      yield* fanout.subscribe("limits", slow)
      yield* fanout.subscribe("limits", fast)
      const seen: Array<ReadonlyArray<Change>> = []
      for (const to of [1, 2, 3]) {
        fanout.publish("limits", "acme", change("acme", to - 1, to))
        seen.push(yield* fast.take)
      }
      assert.deepStrictEqual(seen, [[change("acme", 0, 1)], [change("acme", 1, 2)], [change("acme", 2, 3)]])
      assert.deepStrictEqual(yield* slow.take, [change("acme", 0, 3)])
    })
  )

  it.effect("a fan-out publishes to the subscribers of a topic, and may publish to a topic without subscribers", () =>
    Effect.gen(function* () {
      const fanout = yield* make
      const mailbox = joined()
      yield* fanout.subscribe("limits", mailbox)
      fanout.publish("texts", "acme", change("texts", 0, 1))
      fanout.publish("limits", "acme", change("limits", 0, 1))
      assert.deepStrictEqual(yield* mailbox.take, [change("limits", 0, 1)])
    })
  )

  it.effect("G12: a fan-out gives nothing to a mailbox whose scope was closed, and goes on for the others", () =>
    Effect.gen(function* () {
      const fanout = yield* make
      const [gone, left] = [joined(), joined()]
      const scope = yield* Scope.make()
      yield* Scope.provide(fanout.subscribe("limits", gone), scope)
      yield* fanout.subscribe("limits", left)
      yield* Effect.scoped(fanout.subscribe("texts", gone))
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      fanout.publish("limits", "acme", change("limits", 0, 1))
      fanout.publish("texts", "acme", change("texts", 0, 1))
      offer(gone, change("own", 0, 1))
      assert.deepStrictEqual(yield* gone.take, [change("own", 0, 1)])
      assert.deepStrictEqual(yield* left.take, [change("limits", 0, 1)])
    })
  )
})

describe("the stream of a mailbox", () => {
  it.effect("the stream of a mailbox ends at the newest, whatever its reader was doing when that came", () =>
    Effect.gen(function* () {
      const mailbox = joined()
      const [busy, proceed] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      offer(mailbox, change("a", 0, 1))
      const reader = yield* Fanout.stream(mailbox).pipe(
        Stream.tap(({ to }) =>
          Effect.when(Deferred.await(proceed), Deferred.succeed(busy, undefined).pipe(Effect.as(to === 1)))
        ),
        Stream.takeUntil(({ to }) => to === 4),
        Stream.runCollect,
        Effect.forkChild
      )
      yield* Deferred.await(busy)
      offer(mailbox, change("a", 1, 2), change("a", 2, 3), change("a", 3, 4))
      yield* Deferred.succeed(proceed, undefined)
      assert.deepStrictEqual(yield* Fiber.join(reader), [change("a", 0, 1), change("a", 1, 4)])
    })
  )
})

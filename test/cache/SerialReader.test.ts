import { assert, describe, it } from "@effect/vitest"
import { Effect, Latch } from "effect"
import { TestClock } from "effect/testing"
import * as SerialReader from "../../src/layers/cache/SerialReader.ts"

/** A reader, and a session on which each read waits for `answer` and then says that it took `took` milliseconds. */
const make = (took: number | undefined) =>
  Effect.gen(function* () {
    const reader = yield* SerialReader.make
    const latch = yield* Latch.make(false)
    const began: Array<SerialReader.Reason> = []
    const read: SerialReader.Read = (reason) =>
      Effect.suspend(() => {
        began.push(reason)
        return Effect.as(latch.await, took)
      })
    const answer = Effect.andThen(latch.release, TestClock.adjust(0))
    return { reader, read, began, answer }
  })

/** Lets what is ready run. */
const settle = TestClock.adjust(0)

describe("SerialReader", () => {
  it.effect("SerialReader answers all notifications during a read by one more read, and no verification", () =>
    Effect.gen(function* () {
      const { answer, began, read, reader } = yield* make(1)
      reader.connected(read)
      yield* settle
      reader.ask("verify")
      reader.ask("notification")
      reader.ask("notification")
      yield* answer
      assert.deepStrictEqual(began, ["connect", "notification"])
      reader.ask("verify")
      yield* answer
      assert.deepStrictEqual(began, ["connect", "notification"], "a verification that is due meanwhile is not needed")
      reader.ask("verify")
      yield* settle
      assert.deepStrictEqual(began, ["connect", "notification", "verify"])
    }).pipe(Effect.scoped)
  )

  it.effect(
    "SerialReader holds back what a notification prompts after an expensive read until a verification is due",
    () =>
      Effect.gen(function* () {
        const { answer, began, read, reader } = yield* make(10_000)
        reader.connected(read)
        yield* settle
        yield* answer
        reader.ask("notification")
        yield* TestClock.adjust("1999 millis")
        assert.deepStrictEqual(began, ["connect"])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(began, ["connect", "notification"])
        yield* answer
        reader.ask("verify")
        yield* settle
        assert.deepStrictEqual(began, ["connect", "notification", "verify"])
        yield* answer
        reader.ask("notification")
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(began.length, 3)
        reader.ask("verify")
        yield* answer
        assert.deepStrictEqual(began.slice(3), ["notification"], "which verifies: the bound of staleness does not wait")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(began.length, 4)
      }).pipe(Effect.scoped)
  )

  it.effect("SerialReader reads nothing without a session, nor on an abandoned one, and at once on the next", () =>
    Effect.gen(function* () {
      const { began, read, reader } = yield* make(1)
      reader.ask("notification")
      yield* settle
      assert.deepStrictEqual(began, [])
      reader.connected(read)
      yield* settle
      let abandoned = 0
      reader.abandon(Effect.sync(() => abandoned++))
      reader.ask("notification")
      yield* settle
      assert.strictEqual(abandoned, 1)
      assert.deepStrictEqual(began, ["connect"])
      yield* reader.disconnected
      reader.ask("notification")
      yield* settle
      assert.deepStrictEqual(began, ["connect"])
      reader.connected(read)
      yield* settle
      assert.deepStrictEqual(began, ["connect", "connect"])
    }).pipe(Effect.scoped)
  )

  it.effect("SerialReader reads no more on a session on which a read failed", () =>
    Effect.gen(function* () {
      const { answer, began, read, reader } = yield* make(undefined)
      reader.connected(read)
      yield* settle
      yield* answer
      reader.ask("notification")
      yield* settle
      assert.deepStrictEqual(began, ["connect"])
    }).pipe(Effect.scoped)
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as LastValid from "../../src/layers/store/LastValid.ts"
import type * as SnapshotRecall from "../../src/schema/SnapshotRecall.ts"
import { HistoryStore } from "../../src/services/HistoryStore.ts"
import { Limit } from "../support/keys.ts"

const rowOf = (value: unknown, revision: number) => ({
  value,
  revision,
  updatedAt: 0,
  updatedBy: "ada",
  fingerprint: BigInt(revision)
})

const slots = [0, 1, 2, 3, 4, 5, 6, 7]
const keys = slots.map(() => Limit)
const forgotten = slots.map((slot): SnapshotRecall.Forgotten => ({ slot, row: rowOf("bad", 9) }))

/** A history that takes 600 milliseconds for each record of a key, of which the second decodes. */
const slow = Effect.gen(function* () {
  const asked: Array<number> = []
  const lastValid = yield* Effect.provideService(LastValid.make, HistoryStore, {
    recall: (_tenant: string, requests: ReadonlyArray<{ readonly before: number | undefined }>) =>
      Effect.suspend(() => {
        asked.push(requests.length)
        return Effect.as(
          Effect.sleep(600 * requests.length),
          requests.map(({ before = 3 }) => {
            const id = before - 1
            return [{ id, revision: id, deleted: false, row: rowOf(id === 1 ? 7 : "bad", id) }]
          })
        )
      })
  } as unknown as HistoryStore["Service"])
  /** What is found in time. */
  const recall = (forgotten: ReadonlyArray<SnapshotRecall.Forgotten>) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkScoped(lastValid.recall("acme" as any, keys, forgotten), {
        startImmediately: true
      })
      yield* TestClock.adjust("2 seconds")
      return yield* Fiber.join(fiber)
    })
  return { asked, recall }
})

describe("the last valid values", () => {
  it.effect(
    "G6: what a slow history says in time of some rejected rows is in force, and the next read asks for the rest",
    () =>
      Effect.gen(function* () {
        const { asked, recall } = yield* slow
        const known: Array<number> = []
        for (let times = 1; known.length < slots.length; times++) {
          assert.isAtMost(times, slots.length)
          const found = yield* recall(forgotten.filter(({ slot }) => !known.includes(slot)))
          assert.isAbove(found.length, 0)
          for (const { last, slot } of found) {
            assert.deepInclude(last, { row: rowOf(7, 1) })
            known.push(slot)
          }
        }
        assert.deepStrictEqual(known, slots)
        // Not all rows were asked for at once, which never comes to an end.
        assert.isBelow(Math.max(...asked), slots.length)
      }).pipe(Effect.scoped)
  )
})

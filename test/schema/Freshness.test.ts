import { assert, describe, it } from "@effect/vitest"
import * as Freshness from "../../src/schema/Freshness.ts"

const bounds = [1_000, 3_000, 30_000, 3_600_000]

describe("Freshness", () => {
  it("G4: a value is stale once it was not confirmed for maxStaleness", () => {
    for (const bound of bounds) {
      const staleAt = Freshness.staleAt(100, bound)
      assert.deepStrictEqual(
        [staleAt - 1, staleAt, staleAt + 1].map((now) => Freshness.isStale(100, now, bound)),
        [false, true, true]
      )
    }
  })

  it("Freshness waits for an answer a third of maxStaleness, and 5 seconds at most", () => {
    assert.deepStrictEqual(
      bounds.map((bound) => Math.round(Freshness.answerBudget(bound))),
      [333, 1000, 5000, 5000]
    )
  })

  it("G4: a read that is not answered is noticed within a second of its time, however large maxStaleness is", () => {
    assert.deepStrictEqual(
      [...bounds, 3e11].map((bound) => Math.round(Freshness.schedulerResolution(bound))),
      [17, 50, 500, 1000, 1000]
    )
  })

  it("G4: verifies after a quarter to a third of maxStaleness, and sooner if answers are slow", () => {
    for (const [took, random, expected] of [
      [0, 0, 7500],
      [0, 0.5, 8750],
      [0, 1, 10_000],
      [5000, 0, 5000],
      [10_000, 0, 3750],
      [60_000, 1, 5000]
    ] as const) {
      assert.closeTo(Freshness.verifyDelay(30_000, took, random), expected, 1e-6, `${took} ${random}`)
    }
  })

  it("G4: a dead session is noticed within two thirds of maxStaleness and the resolution of the scheduler", () => {
    for (const bound of bounds) {
      const noticed = Freshness.verifyDelay(bound, 0, 1) + Freshness.answerBudget(bound)
      assert.isAtMost(noticed + Freshness.schedulerResolution(bound), bound * 0.69, String(bound))
    }
  })
})

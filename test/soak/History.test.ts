import { assert, describe, it } from "@effect/vitest"
import * as Distribution from "../../soak/checks/Distribution.ts"
import * as Floors from "../../soak/checks/Floors.ts"
import * as History from "../../soak/checks/History.ts"

const version = (stamp: string, revision: number, committed: number, valid = true): History.Version => ({
  stamp,
  revision,
  valid,
  committed,
  announced: true,
  by: "somebody",
  transaction: String(committed),
  operation: revision === 0 ? "delete" : "update"
})

const historyOf = (...versions: ReadonlyArray<History.Version>) => {
  const history = History.make()
  for (const each of versions) history.append(each)
  return history
}

describe("the history of a key", () => {
  const history = historyOf(
    version("a", 1, 100),
    version("default", 0, 200),
    version("b", 2, 300),
    version("b", 3, 400)
  )

  it("the history of a key finds the first version that an observer can have seen, from its position and the time of its look", () => {
    const find = (stamp: string, revision: number | undefined, from: number, by = 1000) =>
      history.find({ stamp, revision }, from, by)
    assert.strictEqual(find("a", 1, 0), 1)
    assert.strictEqual(find("a", 1, 2), -1)
    assert.strictEqual(find("a", 7, 0), -1)
    assert.strictEqual(find("default", 0, 0), 0)
    assert.strictEqual(find("default", undefined, 1), 2)
    assert.strictEqual(find("b", undefined, 0), 3)
    assert.strictEqual(find("b", 3, 0), 4)
    assert.strictEqual(find("b", undefined, 0, 299), -1)
    assert.strictEqual(find("nobody's", undefined, 0), -1)
  })

  it("the history of a key knows what was in force at a time", () => {
    assert.deepStrictEqual(
      [0, 99, 100, 250, 1000].map((time) => history.at(time)),
      [0, 0, 1, 2, 4]
    )
  })

  it("the history of a key tells what was missed: what was superseded before, unless a row that does not decode explains it", () => {
    assert.isTrue(History.missed(history, 1, 250, 500))
    assert.isFalse(History.missed(history, 2, 250, 500))
    assert.isFalse(History.missed(history, 1, 199, 500))
    const withBadRow = historyOf(version("a", 1, 100), version("b", 2, 200), version("?", 3, 300, false))
    assert.isFalse(History.missed(withBadRow, 1, 250, 500))
    assert.isTrue(History.missed(withBadRow, 1, 250, 299))
  })
})

describe("a table that went back", () => {
  const inserted = (stamp: string, revision: number) => ({
    ...version(stamp, revision, 0),
    operation: "insert" as const
  })

  it("a table went back if a revision is in force that was drawn before", () => {
    const lower = historyOf(version("a", 5, 0), version("b", 3, 0), version("c", 6, 0))
    assert.deepStrictEqual(
      [History.wentBack(lower, 0, 1), History.wentBack(lower, 1, 3), History.wentBack(lower, 2, 3)],
      [false, true, false]
    )
    assert.isFalse(History.wentBack(historyOf(version("a", 5, 0), version("in place", 5, 0)), 1, 2))
    assert.isFalse(History.wentBack(historyOf(version("a", 5, 0), version("default", 0, 0), inserted("b", 6)), 1, 3))
    assert.isTrue(History.wentBack(historyOf(version("a", 5, 0), version("default", 0, 0), inserted("b", 5)), 1, 3))
  })
})

describe("floors", () => {
  const floor = (position: number, ended: number) => ({ position, ended, at: ended, cause: "shown" }) as const

  it("count for what begins after they were learned, and never sink", () => {
    const floors = Floors.make()
    floors.raise("key", floor(3, 10))
    floors.raise("key", floor(2, 20))
    floors.raise("key", floor(5, 30))
    assert.deepStrictEqual(
      [10, 11, 25, 30, 31].map((began) => floors.at("key", began).position),
      [0, 3, 3, 3, 5]
    )
    assert.strictEqual(floors.at("another", 100).position, 0)
  })

  it("floors are forgotten when they are old, and then nothing is checked against them", () => {
    const floors = Floors.make()
    for (let i = 1; i <= 300; i++) floors.raise("key", floor(i, i))
    assert.strictEqual(floors.at("key", 2).position, 0)
    assert.strictEqual(floors.at("key", 1000).position, 300)
  })
})

describe("a distribution", () => {
  it("a distribution is of values that occurred, by nearest rank", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
    assert.deepStrictEqual(Distribution.of(hundred), { count: 100, p50: 50, p99: 99, max: 100 })
    assert.deepStrictEqual(Distribution.of([7]), { count: 1, p50: 7, p99: 7, max: 7 })
    assert.isUndefined(Distribution.of([]))
  })
})

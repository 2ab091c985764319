import { assert, describe, it } from "@effect/vitest"
import * as ReadPace from "../../src/schema/ReadPace.ts"

/** Reads for a while, `every` so often if that is allowed; `took` per read. Says when each began. */
const read = (options: { readonly every: number; readonly took: number; readonly during: number }) => {
  const began: Array<number> = []
  let pace = ReadPace.initial(0)
  for (let now = 0; now < options.during; ) {
    now += ReadPace.delay(pace, now)
    began.push(now)
    const end = now + options.took
    pace = ReadPace.afterRead(pace, options.took, end)
    now = Math.max(end, Math.ceil((now + 1e-9) / options.every) * options.every)
  }
  return began
}

describe("ReadPace", () => {
  it("a flood of notifications takes the share of a core at most, whatever a read costs", () => {
    for (const took of [0.5, 2, 7, 20, 50]) {
      const during = 60_000
      const spent = read({ every: 0.01, took, during }).length * took
      assert.isAtMost(spent, during * ReadPace.share + ReadPace.most + 2 * took, `${took} ms a read`)
      assert.isAtLeast(spent, during * ReadPace.share * 0.9, `${took} ms a read: it is used`)
    }
  })

  it("changes that are cheap or rare are read at once", () => {
    const isPrompt = (every: number, took: number) =>
      read({ every, took, during: 60_000 }).every((began, i) => Math.abs(began - i * every) < 1e-6)
    assert.isTrue(isPrompt(50, 2))
    assert.isTrue(isPrompt(1000, 40))
    assert.isFalse(isPrompt(20, 7))
  })

  it("a burst begins at once, and a read is never held back longer than the longest gap", () => {
    let pace = ReadPace.initial(0)
    for (let i = 0; i < 20; i++) {
      assert.strictEqual(ReadPace.delay(pace, 0), 0)
      pace = ReadPace.afterRead(pace, 2, 0)
    }
    for (const took of [100, 10_000, 1e9]) {
      assert.isAtMost(ReadPace.delay(ReadPace.afterRead(pace, took, 0), 0), ReadPace.longestGap)
    }
    assert.strictEqual(ReadPace.delay(ReadPace.afterRead(pace, 1e9, 0), ReadPace.longestGap), 0)
  })
})

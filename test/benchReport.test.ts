/** The pure parts of `bench/`: what is said of timings. That anything is fast is no concern of the tests. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Report from "../bench/report.ts"
import * as Section from "../bench/section.ts"
import * as Statistics from "../bench/statistics.ts"

describe("statistics", () => {
  it("a median lies in the middle, or between the two in the middle, whatever the order", () => {
    assert.strictEqual(Statistics.median([9, 1, 5]), 5)
    assert.strictEqual(Statistics.median([10, 1, 2, 3]), 2.5)
    assert.strictEqual(Statistics.median([7]), 7)
    assert.isNaN(Statistics.median([]))
  })

  it("a quantile interpolates between its neighbours", () => {
    const sample = Array.from({ length: 101 }, (_, i) => i)
    assert.strictEqual(Statistics.quantile(sample, 0.99), 99)
    assert.strictEqual(Statistics.quantile([0, 10], 0.25), 2.5)
    assert.strictEqual(Statistics.quantile(sample, 1), 100)
  })

  it("what is proportional has no error, and what is not has one", () => {
    const line = [1, 2, 3].map((x) => ({ x, y: 4 * x }))
    assert.deepStrictEqual(Statistics.proportionality(line), { slope: 4, error: 0 })
    assert.isAbove(Statistics.proportionality([...line, { x: 4, y: 32 }]).error, 0.3)
  })

  it("shuffling loses nothing, and changes nothing that it was given", () => {
    const items = [1, 2, 3, 4, 5]
    const random = [0.1, 0.9, 0.4, 0.6].values()
    const shuffled = Statistics.shuffled(items, () => random.next().value!)
    assert.notDeepEqual(shuffled, items)
    assert.sameMembers([...shuffled], items)
    assert.deepStrictEqual(items, [1, 2, 3, 4, 5])
  })
})

describe("a line of the report", () => {
  const gate = { name: "ours : theirs", gate: 0.25, stretch: 0.12, note: "nothing else" }

  it("tells the verdict: the bounds themselves still hold", () => {
    assert.deepStrictEqual(
      [0.1, 0.12, 0.2, 0.25, 0.2501, Number.NaN].map((measured) => Report.verdict(measured, gate)),
      ["stretch", "stretch", "gate", "gate", "MISSED", "MISSED"]
    )
  })

  it("reads name, measured, gate, stretch, verdict", () => {
    const words = Report.line(Report.row(gate, 0.1234, "1 ns against 8 ns")).split(/ {2,}/)
    assert.deepStrictEqual(words, ["ours : theirs", "0.123", "≤ 0.25", "≤ 0.12", "gate"])
  })

  it("gives three significant digits and no exponent", () => {
    assert.deepStrictEqual([0, 0.000123, 0.0198, 0.5, 1, 12.34, 12345].map(Report.ratio), [
      "0",
      "0.000123",
      "0.0198",
      "0.500",
      "1.00",
      "12.3",
      "12345"
    ])
  })

  it("gives durations in the unit that suits them", () => {
    assert.deepStrictEqual([0.5, 8.14, 1500, 2_000_000, 3e10].map(Report.duration), [
      "0.500 ns",
      "8.14 ns",
      "1.50 µs",
      "2.00 ms",
      "30.0 s"
    ])
  })
})

describe("choosing rows", () => {
  const section = (title: string, name: string) =>
    Section.section(title, [{ name, gate: 1, stretch: 1, note: "" }], () => Effect.succeed([]))
  const sections = [section("reads", "Config.get : Unleash"), section("feed", "commit to visible")]

  it("finds them by title or by name, in any letter case", () => {
    assert.deepStrictEqual(Section.matching(sections, "unleash"), [sections[0]!])
    assert.deepStrictEqual(Section.matching(sections, "FEED"), [sections[1]!])
    assert.deepStrictEqual(Section.matching(sections, "e"), sections)
    assert.deepStrictEqual(Section.matching(sections, "nothing of the kind"), [])
  })
})

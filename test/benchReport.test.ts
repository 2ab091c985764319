/** The pure parts of `bench/`: what is said of timings. That anything is fast is no concern of the tests. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Report from "../bench/Report.ts"
import * as Section from "../bench/Section.ts"
import * as Statistics from "../bench/Statistics.ts"
import * as Svg from "../bench/Svg.ts"

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

  it("states the verdict: a value equal to the bound passes", () => {
    assert.deepStrictEqual(
      [0.1, 0.12, 0.2, 0.25, 0.2501, Number.NaN].map((measured) => Report.verdict(measured, gate)),
      ["stretch", "stretch", "gate", "gate", "MISSED", "MISSED"]
    )
  })

  it("says that a missed gate lies below the floor only if it does", () => {
    const verdicts = (measured: number) => [0.2, 0.25, 0.2501].map((floor) => Report.verdict(measured, gate, floor))
    assert.deepStrictEqual(verdicts(0.3), ["MISSED", "MISSED", "gate < floor"])
    assert.deepStrictEqual(verdicts(0.25), ["gate", "gate", "gate"])
    assert.deepStrictEqual(verdicts(0.12), ["stretch", "stretch", "stretch"])
  })

  it("reads name, measured, floor, gate, stretch, verdict", () => {
    const words = (floor?: number) => Report.line(Report.row(gate, 0.1234, "1 ns against 8 ns", floor)).split(/ {2,}/)
    assert.deepStrictEqual(words(), ["ours : theirs", "0.123", "≤ 0.25", "≤ 0.12", "gate"])
    assert.deepStrictEqual(words(0.1), ["ours : theirs", "0.123", "0.100", "≤ 0.25", "≤ 0.12", "gate"])
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

describe("a chart", () => {
  it("puts the ends of the domain at the ends of the range", () => {
    const linear = Svg.scale([0, 10], [100, 200], false)
    assert.deepStrictEqual([0, 5, 10].map(linear), [100, 150, 200])
    const logarithmic = Svg.scale([1, 1000], [0, 30], true)
    assert.deepStrictEqual([1, 10, 1000].map(logarithmic).map(Math.round), [0, 10, 30])
    assert.strictEqual(Svg.scale([7, 7], [0, 10], false)(7), 5)
  })

  it("has ticks that span the values", () => {
    assert.deepStrictEqual(Svg.decades([4, 250]), [1, 10, 100, 1000])
    assert.deepStrictEqual(Svg.decades([10, 10]), [10, 100])
    assert.deepStrictEqual(Svg.ticks(87), [0, 20, 40, 60, 80, 100])
    assert.deepStrictEqual(Svg.ticks(0.5), [0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert.deepStrictEqual(Svg.ticks(0).at(0), 0)
  })

  it("names its series, and lets no text break out of it", () => {
    const points = [
      { x: 1, y: 2 },
      { x: 100, y: 3 }
    ]
    const svg = Svg.render("<growth>", [{ title: "a & b", x: "x", y: "y", series: [{ name: "reads", points }] }])
    assert.include(svg, "<title>&lt;growth&gt;</title>")
    assert.include(svg, "a &amp; b")
    assert.include(svg, ">reads</text>")
    assert.strictEqual(svg.match(/<circle /g)?.length, points.length)
    assert.notInclude(svg, "NaN")
  })
})

/** What the README says is so: the test that it shows, its guarantees, and the defaults of its table of options. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { Reconnect } from "effect-systemplane"
import { resolve } from "../src/schema/Options.ts"
import { guaranteesIn } from "./support/guarantees.ts"

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")
const page = read("README.md")

/** The cells of the rows of the table below a heading. */
const rowsBelow = (heading: string) => {
  const section = page.split(`\n## ${heading}\n`)[1] ?? assert.fail(`README.md has no heading ${heading}`)
  const table = section.split("\n## ")[0]!.match(/^\|.*\|$/gm) ?? assert.fail(`README.md has no table below ${heading}`)
  // Without the heads of the columns and the line below them.
  return table.slice(2).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim())
  )
}

/** The block that follows the comment that names where it is from. */
const shownFrom = (path: string) => {
  const [, shown] = page.split(`<!-- ${path} -->\n\`\`\`ts\n`)
  return shown?.split("```")[0] ?? assert.fail(`README.md shows nothing from ${path}`)
}

const lines = (code: string) => code.trimEnd().split("\n").length

describe("README", () => {
  it("shows a test of a user's own code that is run, in under 20 lines", () => {
    const shown = shownFrom("examples/testing/JobLimit.test.ts")
    assert.include(read("examples/testing/JobLimit.test.ts"), shown)
    assert.isBelow(lines(shown), 20)
  })

  it("names for each guarantee tests whose titles begin with its number", () => {
    const rows = rowsBelow("Guarantees")
    assert.isAtLeast(rows.length, 16)
    for (const [guarantee, , tests] of rows) {
      const files = [...tests!.matchAll(/`([^`]+)`/g)].map(([, file]) => file!)
      assert.isNotEmpty(files, guarantee)
      for (const file of files) {
        const path = file.endsWith("Contract") ? `test/${file}.ts` : `test/${file}.test.ts`
        assert.include(guaranteesIn(path), guarantee, path)
      }
    }
  })

  it("lists each option with the default that it has", () => {
    const [, body] = read("src/schema/Options.ts").split("export interface SystemplaneOptions {")
    const options = [...body!.split("\n}")[0]!.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, name]) => name!)
    const rows = rowsBelow("Options").map(([option, value]) => [
      option!.replaceAll("`", ""),
      value!.replaceAll("`", "")
    ])
    assert.deepStrictEqual(rows.map(([option]) => option!).sort(), options.sort())

    const { reconnect: _, ...defaults } = Result.getOrThrow(resolve({ keys: [] }))
    for (const [option, shown] of rows) {
      if (option === "keys" || option === "process") continue
      const value = /^\d+ seconds$/.test(shown!)
        ? shown
        : JSON.parse(shown!.replaceAll("_", "").replaceAll(/(\w+): /g, '"$1": '))
      if (option === "reconnect") assert.deepStrictEqual(value, Reconnect.defaults)
      const { reconnect: _, ...resolved } = Result.getOrThrow(resolve({ keys: [], [option!]: value }))
      assert.deepStrictEqual(resolved, defaults, option)
    }
  })
})

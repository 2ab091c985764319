import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")

/** The block that follows the comment that names where it is from. */
const shownFrom = (path: string) => {
  const [, shown] = read("README.md").split(`<!-- ${path} -->\n\`\`\`ts\n`)
  return shown?.split("```")[0] ?? assert.fail(`README.md shows nothing from ${path}`)
}

const lines = (code: string) => code.trimEnd().split("\n").length

describe("README", () => {
  it("shows a test of a user's own code that is run, in under 20 lines", () => {
    const shown = shownFrom("examples/testing/JobLimit.test.ts")
    assert.include(read("examples/testing/JobLimit.test.ts"), shown)
    assert.isBelow(lines(shown), 20)
  })
})

import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")

describe("README", () => {
  it("shows the quick start that is compiled, in at most 25 lines", () => {
    const quickStart = read("examples/quick-start.ts")
    assert.include(read("README.md"), `\`\`\`ts\n${quickStart}\`\`\``)
    assert.isAtMost(quickStart.trimEnd().split("\n").length, 25)
  })
})

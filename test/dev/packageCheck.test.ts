import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Ddl } from "effect-systemplane"
import { deadLinks, linksOf } from "../../dev/packageCheck.ts"
import { pages, stepsOf, unaccounted } from "../../dev/quickStarts.ts"
import * as SqlFiles from "../../dev/sqlFiles.ts"

describe("the check of the package", () => {
  it("the check of the package finds the links of a page that lead into the package, and none in its code", () => {
    const page = "[a](docs/a.md#top) [b](https://b.example) [c](#here)\n```md\n[d](d.md)\n```\n"
    assert.deepStrictEqual(linksOf(page), ["docs/a.md#top", "#here"])
  })

  it("the check of the package finds links that lead to no file and no folder of the package", () => {
    const pages = new Map([["docs/a.md", "[up](../README.md) [folder](../src/schema/) [gone](b.md)"]])
    const known = new Set(["README.md", "docs/a.md", "src/schema/Entry.ts"])
    assert.deepStrictEqual(deadLinks(pages, known), ["docs/a.md → docs/b.md"])
  })

  it("the check of the package finds links that lead to no heading, on the page itself and on another", () => {
    const a =
      "# A\n## See who, `undo`: it\n## Twice\n## Twice\n[1](#see-who-undo-it) [2](#twice-1) [3](#twice-2) [4](b.md#b) [5](b.md#c)"
    const pages = new Map([
      ["docs/a.md", a],
      ["docs/b.md", "# B\n```sh\n# c\n```\n"]
    ])
    assert.deepStrictEqual(deadLinks(pages, new Set(pages.keys())), [
      "docs/a.md → docs/a.md#twice-2",
      "docs/a.md → docs/b.md#c"
    ])
  })
})

describe("the SQL files of the package", () => {
  it("the SQL files of the package hold what Ddl.sql is, below their comments", () => {
    assert.match(SqlFiles.files["schema.sql"]!.replace(Ddl.sql, ""), /^(?:-- .*\n)+$/)
  })
})

describe("the quick starts of a page", () => {
  it("the quick starts of a page are its marked blocks, in their order", () => {
    const page = [
      "<!-- quick start one: run -->\n```sh\nnpm init -y\n```",
      "```sh\nnot a step\n```",
      "<!-- quick start one: file main.ts -->\n```ts\nlet a = 1\na++\n```",
      '<!-- quick start two: start, until "ready" -->\n```sh\nnode main.ts\n```',
      '<!-- quick start two: run, until "1 → 2" everywhere -->\n```sh\nnode change.ts\n```'
    ].join("\n\n")
    assert.deepStrictEqual(stepsOf(page), [
      { quickStart: "one", act: "run", path: undefined, until: undefined, prints: undefined, code: "npm init -y" },
      { quickStart: "one", act: "file", path: "main.ts", until: undefined, prints: undefined, code: "let a = 1\na++" },
      { quickStart: "two", act: "start", path: undefined, until: "ready", prints: undefined, code: "node main.ts" },
      { quickStart: "two", act: "run", path: undefined, until: "1 → 2", prints: undefined, code: "node change.ts" }
    ])
  })

  it("the quick starts of a page are all shell blocks but those of which the page says who else runs them, or why nothing does", () => {
    const block = (comment: string, code: string) => `${comment}\n\`\`\`sh\n${code}\n\`\`\`\n`
    const ci = "npm ci\nnpm test"
    assert.deepStrictEqual(unaccounted(block("<!-- run by .ci/run -->", "npm ci   # first\nnpm test"), ci), [])
    assert.deepStrictEqual(unaccounted(block("<!-- run by .ci/run -->", "npm start"), ci), ["npm start"])
    assert.deepStrictEqual(unaccounted(block("Then:", "npm start"), ci), ["npm start"])
    const script = readFileSync(new URL("../../.ci/run", import.meta.url), "utf8")
    for (const page of pages) {
      const text = readFileSync(new URL(`../../${page}`, import.meta.url), "utf8")
      assert.deepStrictEqual(unaccounted(text, script), [], page)
    }
  })
})

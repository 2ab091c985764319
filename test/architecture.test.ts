/** docs/architecture.md names files and tests; this keeps it true. */
import { existsSync, globSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { checks } from "../soak/checks/Violations.ts"
import { guaranteesIn } from "./support/guarantees.ts"

const page = readFileSync(new URL("../docs/architecture.md", import.meta.url), "utf8")
const root = new URL("../", import.meta.url)

const exists = (path: string) => [path, `src/layers/${path}`].some((candidate) => existsSync(new URL(candidate, root)))

/** The rows of the table of guarantees: number, files, soak check. */
const rows = [...page.matchAll(/^\| (G\d+) [^|]*\|([^|]*)\|([^|]*)\|$/gm)].map(([, guarantee, tests, check]) => ({
  guarantee: guarantee!,
  tests: [...tests!.matchAll(/`([^`]+)`/g)].map(([, path]) => path!),
  check: check!.trim().replaceAll("`", "")
}))

describe("docs/architecture.md", () => {
  it("names files that exist", () => {
    const named = [...page.matchAll(/`([\w./-]+\.(?:ts|md))`/g)].map(([, path]) => path!)
    assert.isAbove(named.length, 40)
    assert.deepStrictEqual(
      named.filter((path) => !exists(path)),
      []
    )
  })

  it("names for each guarantee only files with a test whose title begins with its number", () => {
    for (const { guarantee, tests } of rows) {
      assert.isNotEmpty(tests, guarantee)
      for (const path of tests) assert.include(guaranteesIn(path), guarantee, path)
    }
  })

  it("has a row for each guarantee that a test bears", () => {
    const tested = globSync("test/**/*.ts", { cwd: root })
      .filter((path) => path !== "test/architecture.test.ts")
      .flatMap((path) => guaranteesIn(path))
    assert.deepStrictEqual(
      [...new Set(tested)].filter((guarantee) => !rows.some((row) => row.guarantee === guarantee)),
      []
    )
  })

  it("names the check of the soak that bears the guarantee's number", () => {
    const byGuarantee = new Map(Object.entries(checks).map(([check, promise]) => [promise.split(" ")[0]!, check]))
    for (const { check, guarantee } of rows) assert.strictEqual(check, byGuarantee.get(guarantee) ?? "", guarantee)
  })
})

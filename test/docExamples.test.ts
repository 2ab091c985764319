import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Ddl } from "effect-systemplane"
import * as DocExamples from "../dev/docExamples.ts"
import * as TestDatabase from "./support/TestDatabase.ts"

describe("the examples of the documentation", () => {
  const examples = DocExamples.all()
  const files = DocExamples.write(examples)

  // That they compile is seen by `npm run check`.
  it.live.each(examples.flatMap(({ ends, name }, index) => (ends ? [[name, index] as const] : [])))(
    "%s runs",
    ([, index]) =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.make
        process.env.DATABASE_URL = Redacted.value(url)
        process.env.DATABASE_URL_TEMPLATE = `${Redacted.value(url)}?application_name={tenant}`
        yield* Effect.promise(() => import(/* @vite-ignore */ files[index]!.pathname))
      })
  )

  it.live("in SQL run as they stand, in the order of their page", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* database.run(Ddl.sql)
      const blocks = DocExamples.pages().flatMap(([, text]) => [...text.matchAll(/^```sql\n([\s\S]*?)^```$/gm)])
      assert.isNotEmpty(blocks)
      for (const [, block] of blocks) {
        for (const statement of block!.split(/;$/m).filter((text) => text.trim() !== "")) yield* database.run(statement)
      }
    })
  )

  it("are the fenced blocks that import something; others are excerpts of files that are compiled", () => {
    const showing = (line: string) =>
      `\`\`\`ts\nimport a\n\`\`\`\n\n<!-- examples/single-tenant.ts -->\n\`\`\`ts\n${line}\n\`\`\`\n`
    const markdown = showing("if (import.meta.main) await Effect.runPromise(main)")
    assert.deepStrictEqual(DocExamples.extract("docs/a.md", markdown), [
      { name: "docs-a-1", code: "import a\n", ends: true }
    ])
    assert.throws(() => DocExamples.extract("docs/a.md", showing("gone")), /no excerpt of examples/)
    const source = "/**\n * ```ts\n * import a\n *\n * a()\n * ```\n */"
    assert.deepStrictEqual(DocExamples.extract("src/services/A.ts", source), [
      { name: "services-A-1", code: "import a\n\na()\n", ends: true }
    ])
    assert.throws(() => DocExamples.extract("src/A.ts", "/**\n * ```ts\n * a()\n * ```\n */"), /imports nothing/)
  })
})

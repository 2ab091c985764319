/** Where fibers come from: every fiber of the engine belongs to a scope. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"

const layers = join(import.meta.dirname, "../../src/layers")

/** The text of a file without its comments, whose examples run programs. */
const codeOf = (file: string) => readFileSync(join(layers, file), "utf8").replaceAll(/^\s*(\/?\*|\/\/).*$/gm, "")

describe("the scopes of fibers", () => {
  it("G12: the close of a drain is detached, and a resolver, which may not be interruptible; every other fiber has a scope", () => {
    const detached = readdirSync(layers, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .flatMap((file) =>
        [...codeOf(file).matchAll(/\b(runFork|runForkWith|forkDetach|runCallback|runPromise)\b/g)].map(
          ([name]) => `${file}: ${name}`
        )
      )
    assert.deepStrictEqual(detached, [
      "telemetry/ApplicationCode.ts: forkDetach",
      "tenants/SupervisedTenantManager.ts: forkDetach"
    ])
  })
})

/** What the entries of the package export, and what their bundles need. */
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as main from "effect-systemplane"
import * as ddl from "effect-systemplane/ddl"
import * as keys from "effect-systemplane/keys"
import * as testing from "effect-systemplane/testing"
import { build } from "esbuild"

const entry = (name: string) => fileURLToPath(new URL(`../../src/${name}.ts`, import.meta.url))

/** The modules that a bundle for a browser holds. Fails if it needs a module of Node. */
const bundled = async (name: string) => {
  const { metafile } = await build({
    entryPoints: [entry(name)],
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
    metafile: true,
    logLevel: "silent"
  })
  return Object.keys(metafile.inputs).map((path) => path.replace(/.*node_modules\//, ""))
}

describe("the entries of the package", () => {
  it("effect-systemplane/keys bundles for a browser: no driver, no layer, no module of Node", async () => {
    const modules = await bundled("keys")
    assert.isNotEmpty(modules)
    assert.deepStrictEqual(
      modules.filter((path) => /^(pg|@effect)\/|src\/(layers|services)\/|^node:|effect\/dist\/sql/.test(path)),
      []
    )
  })

  it("effect-systemplane/ddl bundles for a browser too", async () => {
    assert.isNotEmpty(await bundled("ddl"))
  })

  it("the memory plane is exported from /testing alone; keys and ddl are exported by the main entry as well", () => {
    assert.containsAllKeys(testing, ["SystemplaneMemory", "MemoryDriver"])
    for (const name of Object.keys(testing)) assert.notProperty(main, name)
    for (const name of Object.keys(keys)) {
      assert.strictEqual((main as Record<string, unknown>)[name], (keys as Record<string, unknown>)[name])
    }
    assert.deepStrictEqual(Object.keys(main.Ddl).sort(), Object.keys(ddl).sort())
  })
})

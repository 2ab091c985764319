/**
 * Writes every example of the documentation to a file of its own, to be compiled and run: what is shown must work.
 *
 * `node dev/docExamples.ts` fills `.examples/`, which the compiler then checks. A fenced `ts` block with an import is a
 * whole module. One without is an excerpt: only Markdown may have it, below a comment that names the file which holds
 * it word for word.
 */
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))

export interface DocExample {
  /**
   * The name of the module, from where it stands: `services-Config-3`; of a file of a quick start its folder and name.
   */
  readonly name: string
  /** Whether it ends by itself. The files of a quick start import each other, and one of them is a service. */
  readonly ends: boolean
  readonly code: string
}

/** The whole modules among the fenced blocks of a text. */
export const extract = (path: string, text: string): ReadonlyArray<DocExample> => {
  const isSource = path.endsWith(".ts")
  const fences = isSource ? /^[ ]*\* ```ts\n([\s\S]*?)^[ ]*\* ```$/gm : /^```ts\n([\s\S]*?)^```$/gm
  const base = path
    .replace(/^src\//, "")
    .replace(/\.\w+$/, "")
    .replaceAll("/", "-")
  return [...text.matchAll(fences)].flatMap(({ 1: block, index: at }, index): ReadonlyArray<DocExample> => {
    const file = /<!-- quick start (\S+): file (\S+)\.ts -->\n$/.exec(text.slice(0, at))
    if (file !== null) return [{ name: `${file[1]!.split(",")[0]}/${file[2]}`, code: `${block}`, ends: false }]
    const code = isSource ? block!.replaceAll(/^[ ]*\* ?/gm, "") : block!
    if (/^import /m.test(code)) return [{ name: `${base}-${index + 1}`, code, ends: true }]
    if (isSource) throw new Error(`${path}: the example ${index + 1} imports nothing, so it cannot be run`)
    const from = /<!-- (examples\/\S+) -->\n$/.exec(text.slice(0, at))?.[1]
    if (from === undefined || !readFileSync(root + from, "utf8").includes(code)) {
      throw new Error(
        `${path}: the example ${index + 1} imports nothing, and is no excerpt of ${from ?? "a file that a comment names"}`
      )
    }
    return []
  })
}

/** The sources, the README and the guides, with their text. */
export const pages = (): ReadonlyArray<readonly [path: string, text: string]> =>
  ["README.md", ...globSync(["src/**/*.ts", "docs/**/*.md"], { cwd: root })]
    .sort()
    .map((path) => [path, readFileSync(root + path, "utf8")])

/** All examples in them. */
export const all = (): ReadonlyArray<DocExample> => pages().flatMap(([path, text]) => extract(path, text))

/** Writes the examples beside the modules that they import, and returns the URLs of the files. */
export const write = (examples: ReadonlyArray<DocExample>): ReadonlyArray<URL> => {
  const directory = `${root}.examples/`
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  cpSync(`${root}dev/examples`, directory, { recursive: true })
  return examples.map(({ code, name }) => {
    mkdirSync(dirname(`${directory}${name}`), { recursive: true })
    writeFileSync(`${directory}${name}.ts`, code)
    return new URL(`../.examples/${name}.ts`, import.meta.url)
  })
}

if (import.meta.main) write(all())

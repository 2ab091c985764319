/**
 * Checks the package as its users get it: what `npm pack` makes, not what the checkout holds.
 *
 * `npm run check:package` builds it, runs `publint` and `attw`, and then this. It prints the unpacked size and the size of a browser bundle
 * of the keys, and fails if either is over its bound, if that bundle needs a module of Node, or if a link is dead.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"

const root = fileURLToPath(new URL("../", import.meta.url))

/** In bytes. Sources and maps are in the package, so that an editor leads to the source. */
const bounds = { unpacked: 4 * 1024 * 1024, keysGzipped: 120 * 1024 }

interface Packed {
  readonly unpackedSize: number
  readonly files: ReadonlyArray<{ readonly path: string }>
}

/** The relative targets of the links of a Markdown text, without their fragments. */
export const linksOf = (markdown: string): ReadonlyArray<string> =>
  [...markdown.replaceAll(/```[\s\S]*?```/g, "").matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!.replace(/#.*/, ""))
    .filter((target) => target !== "" && !/^(?:https?|mailto):/.test(target))

/** The links among these files that lead to none of them: `README.md → bench/README.md`. */
export const deadLinks = (files: ReadonlyMap<string, string>, known: ReadonlySet<string>): ReadonlyArray<string> =>
  [...files].flatMap(([path, markdown]) =>
    linksOf(markdown)
      .map((target) => normalize(join(dirname(path), target)).replace(/\/$/, ""))
      .filter((target) => !known.has(target) && ![...known].some((file) => file.startsWith(`${target}/`)))
      .map((target) => `${path} → ${target}`)
  )

/** A bundle of the keys for a browser, minified, with what it needs of Effect. Fails if it needs a module of Node. */
const bundleKeys = async () => {
  const entry = join(root, "dist/keys.js")
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    write: false,
    logLevel: "error"
  })
  return gzipSync(outputFiles[0]!.contents).length
}

const main = async () => {
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" })
  ) as [Packed]
  const known = new Set(packed.files.map(({ path }) => path))
  const pages = new Map(
    [...known].filter((path) => path.endsWith(".md")).map((path) => [path, readFileSync(join(root, path), "utf8")])
  )
  const keys = await bundleKeys()
  console.log(`unpacked: ${(packed.unpackedSize / 1024).toFixed(0)} KiB, ${packed.files.length} files`)
  console.log(`keys, bundled for a browser with what they need of Effect: ${(keys / 1024).toFixed(0)} KiB gzipped`)
  const problems = deadLinks(pages, known).map((link) => `dead link in the package: ${link}`)
  if (packed.unpackedSize > bounds.unpacked) problems.push(`the package is over ${bounds.unpacked} bytes unpacked`)
  if (keys > bounds.keysGzipped) problems.push(`the keys are over ${bounds.keysGzipped} bytes gzipped`)
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exitCode = 1
}

if (import.meta.main) await main()

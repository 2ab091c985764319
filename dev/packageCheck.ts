/**
 * Checks the package as its users get it: what `npm pack` makes, not what the checkout holds.
 *
 * `npm run check:package` builds it, runs `publint` and `attw`, and then this. It prints the unpacked size and the size
 * of a browser bundle of the keys, and fails if either is over its bound, if that bundle needs a module of Node, or if
 * a link is dead.
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

const withoutCode = (markdown: string) => markdown.replaceAll(/^(```+)[\s\S]*?^\1$/gm, "")

/** The targets of the links of a Markdown text that lead into the package: `docs/operating.md#health`. */
export const linksOf = (markdown: string): ReadonlyArray<string> =>
  [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^(?:https?|mailto):/.test(target))

/** The anchors that GitHub and the registry give to the headings of a Markdown text. */
const anchorsOf = (markdown: string): ReadonlySet<string> => {
  const anchors = new Set<string>()
  for (const [, heading] of withoutCode(markdown).matchAll(/^#{1,6} +(.+)$/gm)) {
    const slug = heading!
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, "")
      .replaceAll(" ", "-")
    let anchor = slug
    for (let count = 1; anchors.has(anchor); count++) anchor = `${slug}-${count}`
    anchors.add(anchor)
  }
  return anchors
}

/**
 * The links of these pages that lead to no known file, or to no heading of one: `README.md → bench/README.md#results`.
 */
export const deadLinks = (pages: ReadonlyMap<string, string>, known: ReadonlySet<string>): ReadonlyArray<string> =>
  [...pages].flatMap(([path, markdown]) =>
    linksOf(markdown)
      .map((link): [file: string, anchor: string | undefined] => {
        const [target, anchor] = link.split("#")
        return [target === "" ? path : normalize(join(dirname(path), target!)).replace(/\/$/, ""), anchor]
      })
      .filter(([file, anchor]) => {
        if (!known.has(file) && ![...known].some((other) => other.startsWith(`${file}/`))) return true
        const page = pages.get(file)
        return anchor !== undefined && (page === undefined || !anchorsOf(page).has(anchor))
      })
      .map(([file, anchor]) => `${path} → ${file}${anchor === undefined ? "" : `#${anchor}`}`)
  )

/** The Markdown pages among these files, with their text. */
const pagesOf = (files: Iterable<string>) =>
  new Map(
    [...files].filter((path) => path.endsWith(".md")).map((path) => [path, readFileSync(join(root, path), "utf8")])
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
  const inPackage = new Set(packed.files.map(({ path }) => path))
  // The registry's page resolves relative links in the repository.
  const inRepository = new Set(execFileSync("git", ["ls-files"], { cwd: root, encoding: "utf8" }).trim().split("\n"))
  const keys = await bundleKeys()
  console.log(`unpacked: ${(packed.unpackedSize / 1024).toFixed(0)} KiB, ${packed.files.length} files`)
  console.log(`keys, bundled for a browser with what they need of Effect: ${(keys / 1024).toFixed(0)} KiB gzipped`)
  const { homepage } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly homepage: string }
  const home = homepage.replace(/#.*/, "")
  const problems = [
    // Relative links work in the tarball, in the repository and on the registry's page, wherever the repository is.
    ...[...pagesOf(inPackage)]
      .filter(([, text]) => text.includes(home))
      .map(([path]) => `${path} links to ${home}: use a relative link`),
    ...deadLinks(pagesOf(inPackage), inPackage).map((link) => `dead link in the package: ${link}`),
    ...deadLinks(pagesOf(inRepository), inRepository).map((link) => `dead link in the repository: ${link}`),
    ...["sql/schema.sql", "sql/grants.sql", "LICENSE"]
      .filter((path) => !inPackage.has(path))
      .map((path) => `${path} is left out`)
  ]
  if (packed.unpackedSize > bounds.unpacked) problems.push(`the package is over ${bounds.unpacked} bytes unpacked`)
  if (keys > bounds.keysGzipped) problems.push(`the keys are over ${bounds.keysGzipped} bytes gzipped`)
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exitCode = 1
}

if (import.meta.main) await main()

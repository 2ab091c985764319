/**
 * Copies of the built package in this process: one as it is, and one whose reads are not counted. Both are loaded by
 * the same hooks, which take the increment out of the second one's source; so nothing else can make them differ.
 */
import { readFileSync } from "node:fs"
import { registerHooks } from "node:module"
import { fileURLToPath } from "node:url"

type Package = typeof import("effect-systemplane") & typeof import("effect-systemplane/testing")

const increment = /\b[\w.]+\.hits\+\+;/g

/** Loads both copies; throws if there is no increment to take out. */
export const load = async (): Promise<{ readonly counting: Package; readonly notCounting: Package }> => {
  const entries = ["effect-systemplane", "effect-systemplane/testing"].map((name) => import.meta.resolve(name))
  const root = new URL(".", entries[0]).href
  const copy = async (query: string): Promise<Package> =>
    Object.assign({}, ...(await Promise.all(entries.map((entry) => import(`${entry}?${query}`)))))
  let removed = 0
  const hooks = registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context)
      const copy = context.parentURL?.startsWith(root) ? new URL(context.parentURL).search : ""
      return resolved.url.startsWith(root) && copy !== "" ? { ...resolved, url: `${resolved.url}${copy}` } : resolved
    },
    load: (url, context, next) => {
      if (!url.startsWith(root) || !url.endsWith("?not-counting")) return next(url, context)
      const source = readFileSync(fileURLToPath(new URL(url)), "utf8").replaceAll(increment, () => {
        removed++
        return ""
      })
      return { format: "module", source, shortCircuit: true }
    }
  })
  try {
    const counting = await copy("counting")
    const notCounting = await copy("not-counting")
    if (removed === 0) throw new Error("no increment of hits was found in the package: there is nothing to compare")
    return { counting, notCounting }
  } finally {
    hooks.deregister()
  }
}

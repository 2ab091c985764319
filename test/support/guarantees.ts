import { readFileSync } from "node:fs"

/** The guarantees that the titles of tests in a file begin with. */
export const guaranteesIn = (path: string): ReadonlyArray<string> =>
  [...readFileSync(new URL(`../../${path}`, import.meta.url), "utf8").matchAll(/["'`]((?:G\d+(?:, )?)+): /g)].flatMap(
    ([, tags]) => tags!.split(", ")
  )

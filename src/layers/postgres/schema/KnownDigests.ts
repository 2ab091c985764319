/** Digests of what was found good in one database, by which the next one is recognised: see PgCatalogDigest. */
import { memoize } from "effect/Function"

/** Their number is that of the kinds of databases. If it is not, they are forgotten rather than many. */
const most = 1_000

/** The digests for what was looked for, remembered as long as that is. */
export const make = <K extends object, D>(): ((wanted: K) => {
  readonly isEmpty: () => boolean
  /** Never, if the server could not give one. */
  readonly has: (digest: D | null) => boolean
  readonly add: (digest: D | null) => void
}) =>
  memoize((_: K) => {
    const known = new Set<D>()
    return {
      isEmpty: () => known.size === 0,
      has: (digest) => digest !== null && known.has(digest),
      add: (digest) => {
        if (digest === null) return
        if (known.size > most) known.clear()
        known.add(digest)
      }
    }
  })

/**
 * What the checker knows of one tenant: the histories of its keys, how far each plane has seen them, and the writes
 * that their writers were told did not land. The checks of reads and of writes share it, and report violations through
 * it.
 */
import type { Observation } from "../Messages.ts"
import * as Floors from "./Floors.ts"
import * as History from "./History.ts"
import type { Check, Violation } from "./Violations.ts"

/** The server's clock has microseconds, ours has milliseconds. */
export const clockError = 2

export interface CheckerOptions {
  readonly tenant: string
  /** In milliseconds. */
  readonly maxStaleness: number
  /** By how much clocks and timers may be late, in milliseconds. */
  readonly tolerance: number
  readonly broken: (violation: Violation) => void
}

export interface Evidence extends CheckerOptions {
  readonly history: (key: string) => History.History
  /**
   * What the observers of a plane have seen. All reads of a plane are one observer, and each kind of subscription is
   * another.
   */
  readonly floorsOf: (plane: string, observer: string) => Floors.Floors
  /** The keys of writes that did not land, by the writes' stamps. */
  readonly denied: Map<string, string>
  /**
   * When each plane had a tenant back that it had forgotten, as the process numbers it; infinite while it is removed.
   */
  readonly backSince: Map<string, number>
  /** Reports a violation, with the last versions of the key as its context. */
  readonly violate: (check: Check, key: string | undefined, what: string) => void
  /** Whether a value can be checked further: it decodes, and it is this tenant's or the default. */
  readonly isOurs: (seen: Pick<Observation, "key" | "plane" | "value" | "via">) => boolean
}

export const make = (options: CheckerOptions): Evidence => {
  const { broken, tenant } = options
  const histories = new Map<string, History.History>()
  const floors = new Map<string, Floors.Floors>()
  const history = (key: string) => getOrMake(histories, key, History.make)

  const violate = (check: Check, key: string | undefined, what: string) =>
    broken({ check, what, tenant, key, context: key === undefined ? [] : lastVersions(history(key)) })

  return {
    ...options,
    history,
    floorsOf: (plane, observer) => getOrMake(floors, `${plane}/${observer}`, Floors.make),
    denied: new Map(),
    backSince: new Map(),
    violate,
    isOurs: ({ key, plane, value, via }) => {
      if (typeof value.stamp !== "string") {
        const shown = JSON.stringify(value)
        violate("brokeBadRows", key, `${plane} showed a value that does not decode, by ${via}: ${shown}`)
        return false
      }
      if (value.stamp !== History.defaultStamp && value.tenant !== tenant) {
        violate("brokeIsolation", key, `${plane} showed a value of ${String(value.tenant)}, by ${via}: ${value.stamp}`)
        return false
      }
      return true
    }
  }
}

const getOrMake = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key) ?? make()
  map.set(key, known)
  return known
}

/** A version in words. */
export const show = (version: History.Version) =>
  version.revision === 0
    ? "no row"
    : `${version.stamp} at revision ${version.revision} (by ${version.by || "an unnamed writer"})`

/** The last versions of a key, for the reader of a violation. */
const lastVersions = ({ versions }: History.History): ReadonlyArray<string> => {
  const first = Math.max(1, versions.length - 25)
  return versions.slice(first).map((version, i) => {
    const decodes = version.valid ? "" : ", does not decode"
    const announced = version.announced ? "" : ", unannounced"
    const time = new Date(version.committed).toISOString()
    return `#${first + i} ${time} ${version.operation} ${show(version)}${decodes}${announced}`
  })
}

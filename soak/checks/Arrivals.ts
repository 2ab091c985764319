/**
 * Measures the time from the commit of a version until a plane's subscriber is given it, or a newer one.
 *
 * A version that was superseded before the plane read the table counts with the first newer one: that is when the plane
 * had caught up with it.
 */
import type { Observation } from "../Messages.ts"
import type { History, Version } from "./History.ts"

export interface Arrival {
  readonly plane: string
  readonly tenant: string
  readonly version: Version
  /** When the subscriber was told, in milliseconds. */
  readonly at: number
  /** Since when the tenant has been live on this plane. */
  readonly liveSince: number | undefined
}

export interface Arrivals {
  readonly seen: (
    plane: string,
    tenant: string,
    key: string,
    history: History,
    position: number,
    change: Pick<Observation, "answeredAt" | "liveSince">
  ) => void
}

export const make = (arrived: (arrival: Arrival) => void): Arrivals => {
  const next = new Map<string, number>()
  return {
    seen: (plane, tenant, key, history, position, { answeredAt, liveSince }) => {
      const id = `${plane}/${key}`
      const from = next.get(id) ?? position
      next.set(id, Math.max(from, position + 1))
      for (let i = from; i <= position; i++) {
        const version = history.versions[i]!
        if (isAnnounced(version, history.versions[i - 1]))
          arrived({ plane, tenant, version, at: answeredAt, liveSince })
      }
    }
  }
}

// A row that does not decode changes nothing, and if the default was in force beneath it, neither does its deletion.
const isAnnounced = (version: Version, before: Version | undefined) =>
  version.valid && version.operation !== "initial" && (version.operation !== "delete" || before?.valid === true)

/**
 * The instruments: names, descriptions, boundaries, and the closed sets from which attributes are drawn.
 */
import * as Metric from "effect/Metric"
import { ConnectorErrorReason } from "../schema/ConnectorError.ts"

const prefix = "systemplane.manager."

/** The values of `op`. */
export const operations = ["upsert", "delete", "malformed"] as const
export type Operation = (typeof operations)[number]

/** The values of `outcome`. */
export const outcomes = ["hit", "miss"] as const
export type Outcome = (typeof outcomes)[number]

/** The values of `reason` of `reconcile_total`: after connecting, or because a verification found a difference. */
export const reconcileReasons = ["connect", "verify"] as const
export type ReconcileReason = (typeof reconcileReasons)[number]

/** The values of `reason` of `listen_disconnects_total`. */
export const disconnectReasons = ConnectorErrorReason.members.map(({ fields }) => fields._tag.schema.literal)
export type DisconnectReason = (typeof disconnectReasons)[number]

/** Powers of two times 5 ms: opening a session takes some round trips, a cold server seconds. */
const warmloadBoundaries = Metric.exponentialBoundaries({ start: 0.005, factor: 2, count: 12 })

/** A notification and a read take a millisecond or two; what takes half a minute was found by verification. */
const propagationBoundaries = Metric.boundariesFromIterable([
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30
])

export const tenantsActive = Metric.gauge(`${prefix}tenants_active`, {
  description: "Tenants that somebody wants live"
})

export type Instruments = ReturnType<typeof of>

/** The instruments of one value of `tenant_id`, with their attributes bound: an update is a look-up and an addition. */
export const of = (label: string) => {
  const bound = (description: string, attributes: Readonly<Record<string, string>> = {}) => ({
    description,
    attributes: { tenant_id: label, ...attributes }
  })
  const counter = (name: string, description: string, attributes?: Readonly<Record<string, string>>) =>
    Metric.counter(prefix + name, { ...bound(description, attributes), incremental: true })
  const gauge = (name: string, description: string) => Metric.gauge(prefix + name, bound(description))
  const histogram = (name: string, description: string, boundaries: ReadonlyArray<number>) =>
    Metric.histogram(prefix + name, { ...bound(description), boundaries })

  return {
    notified: each(operations, (op) =>
      counter("notify_received_total", "Notifications received, by operation", { op })
    ),
    disconnected: each(disconnectReasons, (reason) =>
      counter("listen_disconnects_total", "Listening sessions lost or not opened, by reason", { reason })
    ),
    reconciled: each(reconcileReasons, (reason) =>
      counter("reconcile_total", "Reads of everything after connecting, and verifications that found a difference", {
        reason
      })
    ),
    reads: each(outcomes, (outcome) =>
      counter("get_cache_hits_total", "Reads, by whether the snapshot answered", { outcome })
    ),
    rejected: counter("rejected_rows_total", "Rows that did not decode with their key's schema"),
    dropped: counter("cache_dropped_total", "Keys left out of a scope for want of room"),
    entries: gauge("cache_entries", "Stored entries held in memory"),
    staleness: gauge("staleness_seconds", "Time since the database last confirmed everything"),
    warmload: histogram("warmload_latency_seconds", "From opening the feed to live", warmloadBoundaries),
    propagation: histogram("propagation_seconds", "From commit to visible", propagationBoundaries)
  }
}

const each = <K extends string, A>(values: ReadonlyArray<K>, make: (value: K) => A) =>
  Object.fromEntries(values.map((value) => [value, make(value)])) as Readonly<Record<K, A>>

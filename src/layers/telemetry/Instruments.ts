/**
 * The instruments: names, descriptions, boundaries, and the closed sets from which attributes are drawn.
 */
import * as Metric from "effect/Metric"
import { ConnectorErrorReason } from "../../schema/ConnectorError.ts"

const prefix = "systemplane.manager."

/** The values of `op`. */
const operations = ["upsert", "delete", "malformed"] as const
export type Operation = (typeof operations)[number]

/** The values of `outcome`. */
const outcomes = ["hit", "miss"] as const

/** The values of `reason` of `reconcile_total`: after connecting, or because a verification found a difference. */
const reconcileReasons = ["connect", "verify"] as const
export type ReconcileReason = (typeof reconcileReasons)[number]

/** The values of `reason` of `listen_disconnects_total`. */
const disconnectReasons = ConnectorErrorReason.members.map(({ fields }) => fields._tag.schema.literal)
export type DisconnectReason = (typeof disconnectReasons)[number]

/** Powers of two times 5 ms: opening a session takes some round trips, a cold server seconds. */
const warmloadBoundaries = Metric.exponentialBoundaries({ start: 0.005, factor: 2, count: 12 })

/** A notification and a read take a millisecond or two; what takes half a minute was found by verification. */
const propagationBoundaries = Metric.boundariesFromIterable([
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30
])

export const tenantsActive = Metric.gauge(`${prefix}tenants_active`, {
  description: "Tenants that are live"
})
export const tenantsWanted = Metric.gauge(`${prefix}tenants_wanted`, {
  description: "Tenants that are wanted active, live or not"
})

/** An instrument of one value of `tenant_id`, made when it is needed: a process has thousands of tenants. */
export type Of<M> = (label: string) => M

type Attributes = Readonly<Record<string, string>>

const bound = (label: string, description: string, attributes?: Attributes) => ({
  description,
  attributes: { tenant_id: label, ...attributes }
})

const counter =
  (name: string, description: string, attributes?: Attributes): Of<Metric.Counter<number>> =>
  (label) =>
    Metric.counter(prefix + name, { ...bound(label, description, attributes), incremental: true })

const gauge =
  (name: string, description: string): Of<Metric.Gauge<number>> =>
  (label) =>
    Metric.gauge(prefix + name, bound(label, description))

const histogram =
  (name: string, description: string, boundaries: ReadonlyArray<number>): Of<Metric.Histogram<number>> =>
  (label) =>
    Metric.histogram(prefix + name, { ...bound(label, description), boundaries })

const each = <K extends string, A>(values: ReadonlyArray<K>, make: (value: K) => A) =>
  Object.fromEntries(values.map((value) => [value, make(value)])) as Readonly<Record<K, A>>

export const notified = each(operations, (op) =>
  counter("notify_received_total", "Notifications received, by operation", { op })
)
export const disconnected = each(disconnectReasons, (reason) =>
  counter("listen_disconnects_total", "Listening sessions lost or not opened, by reason", { reason })
)
export const reconciled = each(reconcileReasons, (reason) =>
  counter("reconcile_total", "Reads of everything after connecting, and verifications that found a difference", {
    reason
  })
)
export const reads = each(outcomes, (outcome) =>
  counter("get_cache_hits_total", "Reads, by whether the snapshot answered", { outcome })
)
export const rejected = counter("rejected_rows_total", "Rows that did not decode with their key's schema")
/** The values of `origin`: a write of this process, or whatever else the feed brought. */
const origins = ["own", "other"] as const
export type Origin = (typeof origins)[number]

export const changes = each(origins, (origin) =>
  counter("changes_total", "Changes of loaded tenants that came into force, by who made them", { origin })
)
export const unrecorded = counter("unrecorded_rows_total", "Entries that were changed without a record and were found")
export const dropped = counter("cache_dropped_total", "Declared keys beyond maxEntriesPerTenant, which are not cached")
export const entries = gauge("cache_entries", "Stored entries held in memory")
export const historyBytes = gauge("history_bytes", "Size of the history with its indexes, when it was last looked at")
export const staleness = gauge("staleness_seconds", "Time since the database last confirmed everything")
export const warmload = histogram("warmload_latency_seconds", "From opening the feed to live", warmloadBoundaries)
export const propagation = histogram("propagation_seconds", "From commit to visible", propagationBoundaries)

/** All that bear a `tenant_id`. */
export const all: ReadonlyArray<Of<Metric.Metric<never, unknown>>> = [
  ...Object.values({ ...notified, ...disconnected, ...reconciled, ...reads, ...changes }),
  unrecorded,
  rejected,
  dropped,
  entries,
  historyBytes,
  staleness,
  warmload,
  propagation
]

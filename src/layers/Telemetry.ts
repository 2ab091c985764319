/**
 * The instruments, in one place: names, attributes, and the bound on the tenant label.
 *
 * Nothing here runs on a cached read. With no exporter an update is a map look-up and an addition.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type { Notification } from "../schema/Notification.ts"
import type { TenantId } from "../schema/TenantId.ts"

const prefix = "systemplane.manager."
const counter = (name: string, description: string) => Metric.counter(prefix + name, { description, incremental: true })

const tenantsActive = Metric.gauge(`${prefix}tenants_active`, { description: "Tenants that are being followed" })
const cacheEntries = Metric.gauge(`${prefix}cache_entries`, { description: "Stored entries held in memory" })
const notifyReceived = counter("notify_received_total", "Notifications received, by operation")
const listenDisconnects = counter("listen_disconnects_total", "Listening sessions lost or not opened, by reason")
const cacheHits = counter("get_cache_hits_total", "Reads, by whether the snapshot answered")
const reconciles = counter("reconcile_total", "Whole reads outside of notifications, by reason")
const rejectedRows = counter("rejected_rows_total", "Rows that did not decode with their key's schema")
const cacheDropped = counter("cache_dropped_total", "Keys left out of a scope for want of room")
const warmload = Metric.histogram(`${prefix}warmload_latency_seconds`, {
  description: "From activation to live",
  boundaries: Metric.exponentialBoundaries({ start: 0.005, factor: 2, count: 12 })
})

/** Above the threshold this label stands for all tenants, so that the number of series stays bounded. */
const aggregate = "aggregate"

export class Telemetry extends Context.Service<
  Telemetry,
  {
    readonly notified: (
      tenant: TenantId,
      notifications: ReadonlyArray<Notification>,
      malformed: number
    ) => Effect.Effect<void>
    readonly disconnected: (tenant: TenantId, reason: string) => Effect.Effect<void>
    readonly reconciled: (tenant: TenantId, reason: "connect" | "verify") => Effect.Effect<void>
    readonly warmLoaded: (tenant: TenantId, seconds: number) => Effect.Effect<void>
    readonly rejected: (tenant: TenantId, rows: number) => Effect.Effect<void>
    readonly dropped: (tenant: TenantId, keys: number) => Effect.Effect<void>
    readonly read: (tenant: TenantId, outcome: "hit" | "miss", count: number) => Effect.Effect<void>
    /** The stored entries of a followed tenant; `undefined` once it is followed no more. */
    readonly entries: (tenant: TenantId, count: number | undefined) => Effect.Effect<void>
  }
>()("effect-systemplane/layers/Telemetry") {}

const make = (options: { readonly aggregateTenantThreshold: number }) =>
  Effect.sync(() => {
    const followed = new Map<TenantId, number>()
    let total = 0

    const label = (tenant: TenantId) => (followed.size > options.aggregateTenantThreshold ? aggregate : tenant)

    const add = <Input>(
      metric: Metric.Metric<Input, any>,
      tenant: TenantId,
      input: Input,
      attributes?: Readonly<Record<string, string>>
    ) => Metric.update(Metric.withAttributes(metric, { tenant_id: label(tenant), ...attributes }), input)

    const addSome = (
      metric: Metric.Metric<number, any>,
      tenant: TenantId,
      count: number,
      attributes?: Readonly<Record<string, string>>
    ) => (count > 0 ? add(metric, tenant, count, attributes) : Effect.void)

    return Telemetry.of({
      notified: (tenant, notifications, malformed) => {
        const upserts = notifications.filter(({ op }) => op === "upsert").length
        return Effect.all(
          [
            addSome(notifyReceived, tenant, upserts, { op: "upsert" }),
            addSome(notifyReceived, tenant, notifications.length - upserts, { op: "delete" }),
            addSome(notifyReceived, tenant, malformed, { op: "malformed" })
          ],
          { discard: true }
        )
      },
      disconnected: (tenant, reason) => add(listenDisconnects, tenant, 1, { reason }),
      reconciled: (tenant, reason) => add(reconciles, tenant, 1, { reason }),
      warmLoaded: (tenant, seconds) => add(warmload, tenant, seconds),
      rejected: (tenant, rows) => addSome(rejectedRows, tenant, rows),
      dropped: (tenant, keys) => addSome(cacheDropped, tenant, keys),
      read: (tenant, outcome, count) => addSome(cacheHits, tenant, count, { outcome }),
      entries: (tenant, count) => {
        total += (count ?? 0) - (followed.get(tenant) ?? 0)
        if (count === undefined) followed.delete(tenant)
        else followed.set(tenant, count)
        return Effect.andThen(
          Metric.update(tenantsActive, followed.size),
          add(cacheEntries, tenant, label(tenant) === aggregate ? total : (count ?? 0))
        )
      }
    })
  })

export const layer = (options: { readonly aggregateTenantThreshold: number }) => Layer.effect(Telemetry, make(options))

/**
 * What the plane counts: which tenant is counted under which label, and what has happened to it.
 *
 * A tenant has series of its own from its first mention until it is removed. Above `aggregateTenantThreshold` tenants
 * they all are counted in the series of one label instead, and below it each in its own again. Series in which no
 * tenant is counted any more are removed, since a gauge that stays behind would show the past for ever.
 *
 * Nothing here runs on a cached read, and nothing waits: with no exporter an update is a look-up and an addition.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Notification } from "../../schema/Notification.ts"
import type { TenantId } from "../../schema/TenantId.ts"
import type { TenantState } from "../../schema/TenantStatus.ts"
import * as MonotonicClock from "../runtime/MonotonicClock.ts"
import type * as Instruments from "./Instruments.ts"
import * as SeriesRegistry from "./SeriesRegistry.ts"
import type * as TenantSeries from "./TenantSeries.ts"

/** Stands for all tenants above the threshold, and for reads of tenants that were not activated. */
const aggregate = "aggregate"

export class Telemetry extends Context.Service<
  Telemetry,
  {
    /** The tenant is there, in this state. To be called again when that changes. */
    readonly held: (tenant: TenantId, state: TenantState) => void
    /** The tenant may not exist: until it is certain that it does, it is counted with those that were not activated. */
    readonly doubtful: (tenant: TenantId) => void
    readonly certain: (tenant: TenantId) => void
    /** The tenant's replica, to be looked at when metrics are read. */
    readonly observed: (tenant: TenantId, replica: TenantSeries.Observed) => void
    /** The tenant was removed. */
    readonly released: (tenant: TenantId) => void
    readonly notified: (
      tenant: TenantId,
      notifications: ReadonlyArray<Notification>,
      malformed: number
    ) => Effect.Effect<void>
    readonly disconnected: (tenant: TenantId, reason: Instruments.DisconnectReason) => Effect.Effect<void>
    readonly reconciled: (tenant: TenantId, reason: Instruments.ReconcileReason) => Effect.Effect<void>
    readonly warmLoaded: (tenant: TenantId, seconds: number) => Effect.Effect<void>
    /** How many seconds after they were written changes became visible, of those that the feed brought. */
    readonly propagated: (tenant: TenantId, seconds: ReadonlyArray<number>) => Effect.Effect<void>
    readonly rejected: (tenant: TenantId, rows: number) => Effect.Effect<void>
    /** Keys of a loaded tenant that changed: by writes of this process, or of others. */
    readonly changed: (tenant: TenantId, origin: Instruments.Origin, keys: number) => void
    /** Entries that were changed without a record, which a verification found. */
    readonly unrecorded: (tenant: TenantId, rows: number) => Effect.Effect<void>
    /** How large the tenant's history is, in bytes. */
    readonly historySize: (tenant: TenantId, bytes: number) => void
    readonly dropped: (tenant: TenantId, keys: number) => Effect.Effect<void>
    /** A read went to the database. Those that the snapshot answers are counted by the replica. */
    readonly missed: (tenant: TenantId) => Effect.Effect<void>
  }
>()("effect-systemplane/layers/Telemetry") {}

interface Held extends TenantSeries.Counted {
  /** Whether it is counted in `tenants_active`. */
  live: boolean
  series: TenantSeries.TenantSeries
}

const make = Effect.fnUntraced(function* (options: { readonly aggregateTenantThreshold: number }) {
  const clock = yield* Clock.Clock
  const book = SeriesRegistry.of(yield* Effect.context<never>(), clock)
  const tenants = new Map<TenantId, Held>()
  /**
   * Tenants that may not exist, and their replicas: they have no series, and what happens to them is counted together.
   */
  const doubtful = new Map<TenantId, TenantSeries.Observed | undefined>()
  let collapsed = false

  const labelOf = (tenant: TenantId) => (collapsed ? aggregate : tenant)

  const seriesOf = (tenant: TenantId) => tenants.get(tenant)?.series ?? book.series(aggregate)

  const hold = (tenant: TenantId): Held => {
    const known = tenants.get(tenant)
    if (known !== undefined) return known
    const held: Held = {
      wantedSince: undefined,
      live: false,
      observed: undefined,
      historyBytes: undefined,
      series: book.series(labelOf(tenant))
    }
    held.series.join(held)
    tenants.set(tenant, held)
    relabel()
    return held
  }

  const relabel = () => {
    const above = tenants.size > options.aggregateTenantThreshold
    if (above === collapsed) return
    collapsed = above
    for (const [tenant, held] of tenants) {
      book.leave(held.series, held, { keepCounters: false })
      held.series = book.series(labelOf(tenant))
      held.series.join(held)
    }
  }

  const count = (matches: (tenant: Held) => boolean) => () => [...tenants.values()].filter(matches).length
  const plane: SeriesRegistry.Plane = {
    active: count(({ live }) => live),
    wanted: count(({ wantedSince }) => wantedSince !== undefined)
  }
  book.open(plane)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const held of tenants.values()) book.leave(held.series, held, { keepCounters: true })
      tenants.clear()
      doubtful.clear()
      book.close(plane)
    })
  )

  const record = (tenant: TenantId, update: (series: TenantSeries.TenantSeries) => void) =>
    Effect.sync(() => update(seriesOf(tenant)))

  const recordSome = (tenant: TenantId, count: number, update: (series: TenantSeries.TenantSeries) => void) =>
    count > 0 ? Effect.sync(() => update(seriesOf(tenant))) : Effect.void

  return Telemetry.of({
    held: (tenant, state) => {
      if (doubtful.has(tenant)) return
      const held = hold(tenant)
      held.live = state === "live"
      const wanted = state !== "suspended" && state !== "removed"
      if (wanted === (held.wantedSince !== undefined)) return
      held.wantedSince = wanted ? MonotonicClock.millisOf(clock) : undefined
      held.series.refresh()
    },
    doubtful: (tenant) => {
      if (!tenants.has(tenant)) doubtful.set(tenant, undefined)
    },
    certain: (tenant) => {
      const observed = doubtful.get(tenant)
      if (doubtful.delete(tenant) && observed !== undefined) hold(tenant).observed = observed
    },
    observed: (tenant, replica) => {
      if (doubtful.has(tenant)) doubtful.set(tenant, replica)
      else hold(tenant).observed = replica
    },
    released: (tenant) => {
      doubtful.delete(tenant)
      const held = tenants.get(tenant)
      if (held === undefined) return
      book.leave(held.series, held, { keepCounters: false })
      tenants.delete(tenant)
      relabel()
    },
    notified: (tenant, notifications, malformed) =>
      record(tenant, (series) => {
        const upserts = notifications.filter(({ op }) => op === "upsert").length
        series.notified("upsert", upserts)
        series.notified("delete", notifications.length - upserts)
        if (malformed > 0) series.notified("malformed", malformed)
      }),
    disconnected: (tenant, reason) => record(tenant, (series) => series.disconnected(reason)),
    reconciled: (tenant, reason) => record(tenant, (series) => series.reconciled(reason)),
    warmLoaded: (tenant, seconds) => record(tenant, (series) => series.warmLoaded(seconds)),
    propagated: (tenant, seconds) =>
      record(tenant, (series) => {
        for (const each of seconds) series.propagated(each)
      }),
    rejected: (tenant, rows) => recordSome(tenant, rows, (series) => series.rejected(rows)),
    changed: (tenant, origin, keys) => seriesOf(tenant).changed(origin, keys),
    unrecorded: (tenant, rows) => recordSome(tenant, rows, (series) => series.unrecorded(rows)),
    historySize: (tenant, bytes) => {
      const held = tenants.get(tenant)
      if (held === undefined) return
      const first = held.historyBytes === undefined
      held.historyBytes = bytes
      if (first) held.series.refresh()
    },
    dropped: (tenant, keys) => recordSome(tenant, keys, (series) => series.dropped(keys)),
    missed: (tenant) => record(tenant, (series) => series.missed())
  })
})

export const layer = (options: { readonly aggregateTenantThreshold: number }) => Layer.effect(Telemetry, make(options))

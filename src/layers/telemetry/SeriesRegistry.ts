/**
 * The series of one metric registry, by label.
 *
 * Metrics of one name are one metric, whichever plane updates them. So the planes of a process share their series: a
 * tenant that two of them follow is counted in one series, and `tenants_active` and `tenants_wanted` are their sums.
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import { tenantsActive, tenantsWanted } from "./Instruments.ts"
import * as TenantSeries from "./TenantSeries.ts"

export type SeriesRegistry = ReturnType<typeof make>

/** How many tenants of a plane are live, and how many are wanted active. */
export interface Plane {
  readonly active: () => number
  readonly wanted: () => number
}

/** By registry, then by the attributes that the context adds to every metric. */
const books = new WeakMap<Metric.MetricRegistry, WeakMap<Metric.Metric.AttributeSet, SeriesRegistry>>()

/** The book of the registry in this context. */
export const of = (context: Context.Context<never>, clock: Clock.Clock): SeriesRegistry => {
  const registry = Context.get(context, Metric.MetricRegistry)
  const attributes = Context.get(context, Metric.CurrentMetricAttributes)
  const byAttributes = books.get(registry) ?? new WeakMap<Metric.Metric.AttributeSet, SeriesRegistry>()
  const book = byAttributes.get(attributes) ?? make(context, clock)
  books.set(registry, byAttributes.set(attributes, book))
  return book
}

const make = (context: Context.Context<never>, clock: Clock.Clock) => {
  const labels = new Map<string, TenantSeries.TenantSeries>()
  const planes = new Set<Plane>()
  let totals: ReadonlyArray<Metric.Registration> = []

  const total = (gauge: Metric.Gauge<number>, of: keyof Plane) =>
    Metric.registerUnsafe(gauge, context, {
      get: () => {
        let value = 0
        for (const plane of planes) value += plane[of]()
        return { value }
      },
      update: () => {},
      modify: () => {}
    })

  return {
    open: (plane: Plane): void => {
      if (planes.size === 0) totals = [total(tenantsActive, "active"), total(tenantsWanted, "wanted")]
      planes.add(plane)
    },
    close: (plane: Plane): void => {
      planes.delete(plane)
      if (planes.size > 0) return
      for (const registration of totals) registration.remove()
      totals = []
    },
    series: (label: string): TenantSeries.TenantSeries => {
      const series = labels.get(label) ?? new TenantSeries.TenantSeries(label, context, clock)
      labels.set(label, series)
      return series
    },
    /** Stops counting the tenant in these series, and drops them if it was the last one. */
    leave: (
      series: TenantSeries.TenantSeries,
      tenant: TenantSeries.Counted,
      options: { readonly keepCounters: boolean }
    ): void => {
      if (series.leave(tenant, options)) labels.delete(series.label)
    }
  }
}

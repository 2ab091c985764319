/**
 * The series of one metric registry, by label.
 *
 * Metrics of one name are one metric, whoever updates them. So the planes of a process share their series: a tenant that two of
 * them follow is counted in one series, and `tenants_active` is their sum.
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import { tenantsActive } from "./Instruments.ts"
import * as TenantSeries from "./TenantSeries.ts"

export type SeriesRegistry = ReturnType<typeof make>

/** How many tenants of a plane somebody wants live. */
type Active = () => number

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
  const planes = new Set<Active>()
  let total: Metric.Registration | undefined

  const countActive = () => {
    let value = 0
    for (const active of planes) value += active()
    return { value }
  }

  return {
    open: (plane: Active): void => {
      planes.add(plane)
      total ??= Metric.registerUnsafe(tenantsActive, context, { get: countActive, update: () => {}, modify: () => {} })
    },
    close: (plane: Active): void => {
      planes.delete(plane)
      if (planes.size > 0) return
      total?.remove()
      total = undefined
    },
    series: (label: string): TenantSeries.TenantSeries => {
      const series = labels.get(label) ?? new TenantSeries.TenantSeries(label, context, clock)
      labels.set(label, series)
      return series
    },
    /** Counts the tenant in these series no more, and lets go of them where it was the last one. */
    leave: (
      series: TenantSeries.TenantSeries,
      tenant: TenantSeries.Counted,
      options: { readonly keepCounters: boolean }
    ): void => {
      if (series.leave(tenant, options)) labels.delete(series.label)
    }
  }
}

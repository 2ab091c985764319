/** The series of the plane, as any reader of Effect's metrics sees them. */
import { Effect, Metric } from "effect"

const prefix = "systemplane.manager."

export interface Series {
  /** Without the prefix. */
  readonly name: string
  readonly type: string
  readonly attributes: Readonly<Record<string, string>>
  /** Of a histogram: how often it was updated. */
  readonly value: number
}

export const series: Effect.Effect<ReadonlyArray<Series>> = Effect.map(Metric.snapshot, (metrics) =>
  metrics
    .filter(({ id }) => id.startsWith(prefix))
    .map((metric) => ({
      name: metric.id.slice(prefix.length),
      type: metric.type,
      attributes: metric.attributes ?? {},
      value: metric.type === "Gauge" ? Number(metric.state.value) : Number((metric.state as { count: number }).count)
    }))
)

/** The values of an instrument by one of its attributes. */
export const valuesOf = (all: ReadonlyArray<Series>, name: string, attribute = "tenant_id"): Record<string, number> =>
  Object.fromEntries(
    all
      .filter((one) => one.name === name)
      .map(({ attributes, value }): [string, number] => [attributes[attribute] ?? "", value])
  )

/** Runs an effect with a registry of its own, in which nothing else is counted. */
export const withRegistry = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

/** What each exporter sends, brought into one form: a line per series. */
import { AggregationTemporality, type DataPoint, DataPointType, type ResourceMetrics } from "@opentelemetry/sdk-metrics"
import * as Protobuf from "./Protobuf.ts"

export interface Point {
  readonly name: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly attributes: Readonly<Record<string, string>>
  /** Of a histogram: how many observations. */
  readonly value: number
  /** Of a histogram: their sum, and how many there are in each bucket. */
  readonly sum?: number
  readonly buckets?: ReadonlyArray<number>
}

/** Points of the plane, in an order of their own. */
export const sorted = (points: ReadonlyArray<Point>): ReadonlyArray<Point> =>
  points.filter(({ name }) => /^systemplane[._]manager[._]/.test(name)).sort((a, b) => (key(a) < key(b) ? -1 : 1))

export const key = ({ attributes, name }: Point) =>
  [
    name,
    ...Object.entries(attributes)
      .sort()
      .map((entry) => entry.join("="))
  ].join(" ")

const single =
  (name: string, type: "counter" | "gauge") =>
  ({ attributes, value }: DataPoint<number>): Point => ({
    name,
    type,
    attributes: attributes as Point["attributes"],
    value
  })

/** From OpenTelemetry's own SDK. */
export const ofOpenTelemetry = ({ scopeMetrics }: ResourceMetrics): ReadonlyArray<Point> =>
  scopeMetrics.flatMap(({ metrics }) =>
    metrics.flatMap((metric): ReadonlyArray<Point> => {
      const { name } = metric.descriptor
      switch (metric.dataPointType) {
        case DataPointType.SUM:
          if (!metric.isMonotonic || metric.aggregationTemporality !== AggregationTemporality.CUMULATIVE) {
            throw new Error(`${name} is no cumulative, monotonic sum`)
          }
          return metric.dataPoints.map(single(name, "counter"))
        case DataPointType.GAUGE:
          return metric.dataPoints.map(single(name, "gauge"))
        case DataPointType.HISTOGRAM:
          return metric.dataPoints.map(({ attributes, value }) => ({
            name,
            type: "histogram",
            attributes: attributes as Point["attributes"],
            value: value.count,
            sum: value.sum ?? 0,
            buckets: value.buckets.counts
          }))
        default:
          throw new Error(`${name} is of an unexpected type`)
      }
    })
  )

/** From OTLP, as JSON or decoded from protobuf: both have the same names. */
export const ofOtlp = (payload: any): ReadonlyArray<Point> =>
  payload.resourceMetrics.flatMap(({ scopeMetrics }: any) =>
    scopeMetrics.flatMap(({ metrics }: any) =>
      metrics.flatMap(({ gauge, histogram, name, sum }: any): ReadonlyArray<Point> => {
        if (sum !== undefined && (sum.aggregationTemporality !== 2 || !sum.isMonotonic)) {
          throw new Error(`${name} is no cumulative, monotonic sum`)
        }
        const { dataPoints } = sum ?? gauge ?? histogram
        return dataPoints.map((point: any) => ({
          name,
          type: sum ? "counter" : gauge ? "gauge" : "histogram",
          attributes: Object.fromEntries(
            (point.attributes ?? []).map(({ key, value }: any) => [key, value.stringValue])
          ),
          value: Number(histogram ? point.count : (point.asDouble ?? point.asInt)),
          ...(histogram ? { sum: point.sum, buckets: point.bucketCounts.map(Number) } : {})
        }))
      })
    )
  )

export const ofProtobuf = (body: Buffer) => ofOtlp(Protobuf.decodeMetrics(body))

/** From the text that Prometheus scrapes (exposition format 0.0.4). Throws if a line is not of that form. */
export const ofPrometheus = (text: string): ReadonlyArray<Point> => {
  const types = new Map<string, Point["type"]>()
  const samples: Array<{ readonly name: string; readonly labels: Record<string, string>; readonly value: number }> = []
  for (const line of text.split("\n").slice(0, -1)) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
    if (comment !== null) {
      if (comment[1] === "TYPE") types.set(comment[2]!, comment[3] as Point["type"])
      continue
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([-+0-9.eE]+|\+Inf|NaN)$/.exec(line)
    if (sample === null) throw new Error(`not a line of the exposition format: ${line}`)
    const labels = [...(sample[2] ?? "").matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)/g)]
    samples.push({
      name: sample[1]!,
      labels: Object.fromEntries(labels.map(([, name, value]) => [name!, value!])),
      value: Number(sample[3])
    })
  }
  return [...types].flatMap(([name, type]): ReadonlyArray<Point> => {
    if (type !== "histogram") {
      return samples
        .filter((sample) => sample.name === name)
        .map(({ labels, value }) => ({ name, type, attributes: labels, value }))
    }
    return samples
      .filter((sample) => sample.name === `${name}_count`)
      .map(({ labels, value }) => {
        const ofMine = (suffix: string) =>
          samples.filter(
            (sample) =>
              sample.name === name + suffix &&
              Object.entries(labels).every(([label, of]) => sample.labels[label] === of)
          )
        const cumulative = ofMine("_bucket").map((bucket) => bucket.value)
        return {
          name,
          type,
          attributes: labels,
          value,
          sum: ofMine("_sum")[0]!.value,
          buckets: cumulative.map((count, i) => count - (cumulative[i - 1] ?? 0))
        }
      })
  })
}

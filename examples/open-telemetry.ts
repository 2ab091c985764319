/** Metrics and spans of a plane by OpenTelemetry: whatever `NodeSdk` exports, the plane's are in it. */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import type { MetricReader } from "@opentelemetry/sdk-metrics"
import type { SpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Layer, Redacted, Schema } from "effect"
import { ConfigKey, PgConnector, SystemplaneLive } from "effect-systemplane"

export const Greeting = ConfigKey.make("site", "greeting", { schema: Schema.String, defaultValue: "Hello" })

export interface Exporters {
  /** For example a `PeriodicExportingMetricReader` of an `OTLPMetricExporter`. */
  readonly metricReader: MetricReader
  /** For example a `BatchSpanProcessor` of an `OTLPTraceExporter`. */
  readonly spanProcessor: SpanProcessor
}

/** The plane, with the exporters below it, so that the last export happens once the plane has closed. */
export const makePlane = (exporters: Exporters) =>
  SystemplaneLive({ keys: [Greeting], tenants: ["acme"] }).pipe(
    Layer.provide(
      PgConnector.layerTemplate({
        url: Redacted.make(process.env.DATABASE_URL_TEMPLATE ?? "postgres://app@localhost/tenant_{tenant}")
      })
    ),
    Layer.provideMerge(NodeSdk.layer(() => ({ ...exporters, resource: { serviceName: "greeter" } })))
  )

/** A run on a real database that moves every instrument, read through every exporter. */
import { createServer } from "node:http"
import * as OtelMetrics from "@effect/opentelemetry/OtelMetrics"
import * as Resource from "@effect/opentelemetry/Resource"
import { NodeHttpServer } from "@effect/platform-node"
import { MetricReader } from "@opentelemetry/sdk-metrics"
import { Effect, Fiber, Layer, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpRouter, HttpServer } from "effect/http"
import { OtlpExporter, OtlpMetrics, OtlpSerialization, PrometheusMetrics } from "effect/observability"
import { Config, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import * as Catalog from "../postgres/Catalog.ts"
import * as keys from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import * as Collector from "./Collector.ts"
import { ofOpenTelemetry, ofOtlp, ofPrometheus, ofProtobuf, type Point, sorted } from "./Points.ts"
import { series, valuesOf, withRegistry } from "./Series.ts"

const { ApiKey, Burst, Greeting, Limit } = keys

export const tenant = "exported"

/** Reads when it is told to. */
export class ManualReader extends MetricReader {
  protected override onForceFlush() {
    return Promise.resolve()
  }
  protected override onShutdown() {
    return Promise.resolve()
  }
}

const counted = (name: string, attribute: string, value: string, count: number) =>
  TestDatabase.eventually(
    `${name} of ${value} is ${count}`,
    Effect.map(series, (all) => valuesOf(all, name, attribute)[value] === count)
  )

const seen = (value: number) =>
  Config.watch(Limit).pipe(
    Stream.filter((entry) => entry.value === value),
    Stream.take(1),
    Stream.runDrain
  )

/** What happens to the plane: see what each exporter is expected to tell of it. */
const drive = (database: TestDatabase.TestDatabase) =>
  Effect.gen(function* () {
    for (let i = 0; i < 7; i++) yield* Config.get(Limit)
    for (let i = 0; i < 2; i++) yield* Config.get(ApiKey)

    yield* database.erase(Greeting.namespace, Greeting.key)
    yield* counted("notify_received_total", "op", "delete", 1)
    yield* database.run("SELECT pg_notify('systemplane_changes', 'nonsense')")
    yield* counted("notify_received_total", "op", "malformed", 1)
    // Last, so that no read that a notification prompts is left to find what is written without one.
    yield* database.write(Limit.namespace, Limit.key, 7)
    yield* seen(7)

    yield* Catalog.withoutTriggers(
      database,
      database.run("UPDATE systemplane_entries SET value = '8' WHERE key = $1", [Limit.key])
    )
    yield* seen(8)
    yield* counted("unrecorded_rows_total", "tenant_id", tenant, 1)
    yield* counted("reconcile_total", "reason", "verify", 1)

    const again = yield* counted("reconcile_total", "reason", "connect", 2).pipe(Effect.forkScoped)
    yield* database.killListeners
    yield* Effect.andThen(
      Fiber.join(again),
      TenantManager.use((manager) => manager.awaitLive(tenant))
    )
    yield* database.write("nobody", "knows", 1)
    yield* counted("notify_received_total", "op", "upsert", 6)
  }).pipe(withTenant(tenant), Effect.scoped)

const exporters = (json: string, protobuf: string, reader: MetricReader) => {
  const otlp = (url: string) =>
    OtlpMetrics.layer({ url: `${url}/v1/metrics`, resource: { serviceName: "test" }, exportInterval: "1 hour" })
  return Layer.mergeAll(
    OtelMetrics.layer(() => reader).pipe(Layer.provide(Resource.layer({ serviceName: "test" }))),
    otlp(json).pipe(Layer.provide(OtlpSerialization.layerJson)),
    otlp(protobuf).pipe(Layer.provide(OtlpSerialization.layerProtobuf)),
    HttpRouter.serve(PrometheusMetrics.layerHttp(), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    )
  ).pipe(Layer.provideMerge(FetchHttpClient.layer))
}

export interface Exports {
  readonly openTelemetry: ReadonlyArray<Point>
  readonly otlpJson: ReadonlyArray<Point>
  readonly otlpProtobuf: ReadonlyArray<Point>
  readonly prometheus: ReadonlyArray<Point>
  readonly prometheusText: string
  readonly prometheusType: string | undefined
}

export const run: Effect.Effect<Exports> = Effect.gen(function* () {
  const database = yield* TestDatabase.make
  yield* Catalog.prepare(database)
  yield* database.write(Burst.namespace, Burst.key, "not a number")
  const json = yield* Collector.make
  const protobuf = yield* Collector.make
  const reader = new ManualReader()
  const plane = TestPlane.over(
    { [tenant]: database },
    SystemplaneLive({
      keys: keys.all,
      tenants: [tenant],
      maxEntriesPerTenant: 4,
      // Verified every 1.5 to 2 seconds.
      maxStaleness: "6 seconds",
      reconnect: { base: "20 millis", cap: "200 millis" }
    })
  ).pipe(Layer.provide(TestPlane.silent))

  return yield* Effect.gen(function* () {
    yield* drive(database)
    const { resourceMetrics } = yield* Effect.promise(() => reader.collect())
    yield* OtlpExporter.Flusher.use((flusher) => flusher.flush)
    const { address } = yield* HttpServer.HttpServer
    const scraped = yield* HttpClient.get(`http://127.0.0.1:${"port" in address ? address.port : 0}/metrics`)
    const prometheusText = yield* scraped.text
    return {
      openTelemetry: sorted(ofOpenTelemetry(resourceMetrics)),
      otlpJson: sorted(ofOtlp(JSON.parse(json.received.at(-1)!.body.toString("utf8")))),
      otlpProtobuf: sorted(ofProtobuf(protobuf.received.at(-1)!.body)),
      prometheus: sorted(ofPrometheus(prometheusText)),
      prometheusText,
      prometheusType: scraped.headers["content-type"]
    }
  }).pipe(Effect.provide(plane), Effect.provide(exporters(json.url, protobuf.url, reader)))
}).pipe(Effect.scoped, Effect.orDie, withRegistry)

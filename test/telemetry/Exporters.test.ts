/** Every instrument, with its exact name, attributes and value, as an operator's own exporter tells it. */
import { readFileSync } from "node:fs"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as exports from "./Exports.ts"
import type { Point } from "./Points.ts"

class Exports extends Context.Service<Exports, exports.Exports>()("test/Exports") {}

const { tenant } = exports

const counter = (name: string, value: number, attributes: Record<string, string> = {}): Point => ({
  name: `systemplane.manager.${name}`,
  type: "counter",
  attributes: { tenant_id: tenant, ...attributes },
  value
})

/** What the run amounts to. */
const expected: ReadonlyArray<Point> = [
  { ...counter("cache_dropped_total", 1) },
  // Limit: Feature holds its default, Greeting was deleted, the row of Burst is no number, ApiKey is beyond the limit.
  { ...counter("cache_entries", 1), type: "gauge" },
  // By a notification, and by a verification.
  counter("changes_total", 2, { origin: "other" }),
  counter("changes_total", 0, { origin: "own" }),
  counter("get_cache_hits_total", 9, { outcome: "hit" }),
  counter("get_cache_hits_total", 2, { outcome: "miss" }),
  { ...counter("history_bytes", 0), type: "gauge" },
  counter("listen_disconnects_total", 1, { reason: "SessionLost" }),
  counter("notify_received_total", 1, { op: "delete" }),
  counter("notify_received_total", 1, { op: "malformed" }),
  // Two writes of others; and four defaults, which were seeded when the session listened already.
  counter("notify_received_total", 6, { op: "upsert" }),
  // The one change that a notification told of and that is no deletion.
  { ...counter("propagation_seconds", 1), type: "histogram" },
  counter("reconcile_total", 2, { reason: "connect" }),
  counter("reconcile_total", 1, { reason: "verify" }),
  counter("rejected_rows_total", 1),
  { ...counter("staleness_seconds", 0), type: "gauge" },
  { name: "systemplane.manager.tenants_active", type: "gauge", attributes: {}, value: 1 },
  { name: "systemplane.manager.tenants_wanted", type: "gauge", attributes: {}, value: 1 },
  // What was written with the triggers disabled.
  counter("unrecorded_rows_total", 1),
  { ...counter("warmload_latency_seconds", 1), type: "histogram" }
]

const isStaleness = ({ name }: Point) => name.endsWith("staleness_seconds")
const isSize = ({ name }: Point) => name.endsWith("history_bytes")

const assertExported = (points: ReadonlyArray<Point>, nameOf: (name: string) => string) => {
  assert.deepStrictEqual(
    points.map(({ attributes, name, type, value }) => ({ name, type, attributes, value })),
    expected.map((point) => ({
      ...point,
      name: nameOf(point.name),
      value: isStaleness(point)
        ? points.find(isStaleness)!.value
        : isSize(point)
          ? points.find(isSize)!.value
          : point.value
    }))
  )
  const staleness = points.find(isStaleness)!.value
  assert.isTrue(staleness >= 0 && staleness < 60, `staleness ${staleness}`)
  // Empty indexes have a page each.
  assert.isAbove(points.find(isSize)!.value, 8_000)
  for (const { buckets, name, sum, type, value } of points) {
    if (type !== "histogram") continue
    assert.strictEqual(
      buckets?.reduce((total, count) => total + count, 0),
      value,
      name
    )
    assert.isTrue(sum !== undefined && sum > 0 && sum < 60, `${name} ${sum}`)
  }
}

const repository = "https://github.com/effect-systemplane/effect-systemplane/blob/main"
const read = (file: string) => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8")

const namesOf = ({ name, type }: Point): ReadonlyArray<string> =>
  type === "histogram" ? ["bucket", "count", "sum"].map((suffix) => `${name}_${suffix}`) : [name]

const asItIs = (name: string) => name

layer(Layer.effect(Exports, exports.run), { timeout: "60 seconds", excludeTestServices: true })(
  "every instrument is exported",
  (it) => {
    it.effect("by OpenTelemetry's SDK", () =>
      Exports.use(({ openTelemetry }) => Effect.sync(() => assertExported(openTelemetry, asItIs)))
    )
    it.effect("as OTLP in JSON", () =>
      Exports.use(({ otlpJson }) => Effect.sync(() => assertExported(otlpJson, asItIs)))
    )
    it.effect("as OTLP in protobuf", () =>
      Exports.use(({ otlpProtobuf }) => Effect.sync(() => assertExported(otlpProtobuf, asItIs)))
    )
    it.effect("to Prometheus, with its own idea of names", () =>
      Exports.use(({ prometheus, prometheusText, prometheusType }) =>
        Effect.sync(() => {
          assertExported(prometheus, (name) => name.replaceAll(".", "_"))
          assert.strictEqual(prometheusType, "text/plain; version=0.0.4; charset=utf-8")
          for (const name of new Set(prometheus.map(({ name }) => name))) {
            assert.match(prometheusText, new RegExp(`^# HELP ${name} \\S`, "m"))
          }
        })
      )
    )

    it.effect("under the names and labels that the alerts and the dashboard ask for", () =>
      Exports.use(({ prometheus }) =>
        Effect.sync(() => {
          for (const file of ["dashboards/alerts.yml", "dashboards/grafana.json"]) {
            const text = read(file).replaceAll('\\"', '"')
            const asked = [...text.matchAll(/(systemplane_manager_\w+)(?:\{([^}]*)\})?/g)]
            assert.isAbove(asked.length, 5, file)
            for (const [, name, matchers = ""] of asked) {
              const series = prometheus.filter((point) => namesOf(point).includes(name!))
              assert.isNotEmpty(series, `${file}: nothing is exported as ${name}`)
              for (const [, label, operator, value] of matchers.matchAll(/(\w+)(=~|=)"([^"]*)"/g)) {
                assert.isTrue(
                  series.some(({ attributes }) =>
                    operator === "=" ? attributes[label!] === value : label! in attributes
                  ),
                  `${file}: ${name} has no ${label}="${value}"`
                )
              }
            }
            const known = new Set(["le", ...prometheus.flatMap(({ attributes }) => Object.keys(attributes))])
            const labels = [
              ...[...text.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) =>
                list!.split(",").map((label) => label.trim())
              ),
              ...[...text.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label!)
            ]
            assert.deepStrictEqual(
              labels.filter((label) => !known.has(label)),
              [],
              file
            )
          }
        })
      )
    )

    it.effect("as docs/operating.md lists them, and every alert has its chapter there", () =>
      Exports.use(({ openTelemetry, prometheus }) =>
        Effect.sync(() => {
          const page = read("docs/operating.md")
          const documented = [...page.matchAll(/^\| `(systemplane\.manager\.\w+)` \| (\w+) \| (.*?) ?\|/gm)]
            .map(([, name, type, labels]) => [
              name,
              type,
              ...[...labels!.matchAll(/`(\w+)`/g)].map(([, label]) => label)
            ])
            .map((line) => line.join(" "))
          const exported = openTelemetry.map(({ attributes, name, type }) =>
            [name, type, ...Object.keys(attributes)].join(" ")
          )
          assert.deepStrictEqual(documented.sort(), [...new Set(exported)].sort())

          const dashboard = read("dashboards/grafana.json")
          for (const { name } of prometheus) assert.include(dashboard, name)

          const alerts = [...read("dashboards/alerts.yml").matchAll(/- alert: (\w+).*?runbook: (\S+)/gs)]
          assert.isAbove(alerts.length, 5)
          for (const [, alert, runbook] of alerts) {
            assert.strictEqual(runbook, `${repository}/docs/operating.md#${alert!.toLowerCase()}`)
            assert.include(page, `\n### ${alert}\n`)
          }
        })
      )
    )
  }
)

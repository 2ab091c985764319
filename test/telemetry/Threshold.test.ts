/** Many tenants under one label, as an operator's own exporter tells it: see `Telemetry.test.ts` for the rules. */
import * as OtelMetrics from "@effect/opentelemetry/OtelMetrics"
import * as Resource from "@effect/opentelemetry/Resource"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TenantManager } from "effect-systemplane"
import * as ScriptedPlane from "../scripted/ScriptedPlane.ts"
import { ManualReader } from "./Exports.ts"
import { ofOpenTelemetry, ofPrometheus, type Point, sorted } from "./Points.ts"
import { withRegistry } from "./Series.ts"

const labelsOf = (points: ReadonlyArray<Point>) =>
  [...new Set(points.flatMap(({ attributes }) => attributes.tenant_id ?? []))].sort()

describe("aggregateTenantThreshold", () => {
  it.effect("an exporter sees one label above it, and below it each tenant's again and nothing of the one", () => {
    const reader = new ManualReader()
    const exporter = OtelMetrics.layer(() => reader).pipe(Layer.provide(Resource.layer({ serviceName: "test" })))
    const { layer } = ScriptedPlane.make({ aggregateTenantThreshold: 2 })
    const exported = Effect.gen(function* () {
      const { resourceMetrics } = yield* Effect.promise(() => reader.collect())
      const openTelemetry = sorted(ofOpenTelemetry(resourceMetrics))
      const prometheus = sorted(ofPrometheus(yield* PrometheusMetrics.format()))
      assert.strictEqual(prometheus.length, openTelemetry.length)
      assert.deepStrictEqual(labelsOf(prometheus), labelsOf(openTelemetry))
      return openTelemetry
    })
    const entries = (points: ReadonlyArray<Point>) =>
      points
        .filter(({ name }) => name.endsWith("cache_entries") || name.endsWith("reconcile_total"))
        .filter(({ attributes }) => attributes.reason !== "verify")
        .map(({ attributes, value }) => [attributes.tenant_id, value])
    return Effect.gen(function* () {
      const manager = yield* TenantManager
      yield* manager.activate("acme")
      yield* manager.activate("globex")
      assert.deepStrictEqual(labelsOf(yield* exported), ["acme", "globex"])

      yield* manager.activate("initech")
      const above = yield* exported
      assert.deepStrictEqual(labelsOf(above), ["aggregate"])
      assert.strictEqual(above.find(({ name }) => name.endsWith("tenants_active"))?.value, 3)
      // Of the one that became live under this label.
      assert.deepStrictEqual(entries(above), [
        ["aggregate", 0],
        ["aggregate", 1]
      ])

      yield* manager.remove("globex")
      const below = yield* exported
      assert.deepStrictEqual(labelsOf(below), ["acme", "initech"])
      assert.strictEqual(below.find(({ name }) => name.endsWith("tenants_active"))?.value, 2)
    }).pipe(Effect.provide(layer), Effect.provide(exporter), withRegistry)
  })
})

/** The examples are short, and each of them does what it says. */
import { globSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Effect, Fiber, Layer, Option, Queue, Redacted } from "effect"
import { HttpServer } from "effect/http"
import { TestClock } from "effect/testing"
import { Config, PgConnector, TenantManager, withTenant } from "effect-systemplane"
import { MemoryDriver, SystemplaneMemory } from "effect-systemplane/testing"
import * as esbuild from "esbuild"
import * as HttpService from "../examples/http-service.ts"
import * as LifecycleEvents from "../examples/lifecycle-events.ts"
import * as OpenTelemetry from "../examples/open-telemetry.ts"
import { makePool, PoolSize } from "../examples/pool.ts"
import type * as Page from "../examples/shared-keys/page.ts"
import * as TestDatabase from "./support/TestDatabase.ts"
import { silent } from "./support/TestPlane.ts"

describe("examples", () => {
  it("shared-keys is bundled for a browser, and checks a value there as the service does", async () => {
    const { outputFiles } = await esbuild.build({
      entryPoints: [fileURLToPath(new URL("../examples/shared-keys/page.ts", import.meta.url))],
      alias: { "effect-systemplane/keys": fileURLToPath(new URL("../src/keys.ts", import.meta.url)) },
      bundle: true,
      format: "esm",
      minify: true,
      platform: "browser",
      write: false
    })
    const page: typeof Page = await import(
      `data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString("base64")}`
    )
    assert.isUndefined(page.problemOf("5"))
    assert.include(page.problemOf("-5"), "greater than 0")
    assert.include(page.problemOf("many"), "number")
  })

  it("have at most 120 lines", () => {
    const root = new URL("../", import.meta.url)
    for (const path of globSync("examples/*.ts", { cwd: root })) {
      assert.isAtMost(readFileSync(new URL(path, root), "utf8").split("\n").length - 1, 120, path)
    }
  })

  it.live("http-service takes the tenant from the token, and obeys a limit that changes while it runs", () =>
    Effect.gen(function* () {
      const acme = yield* TestDatabase.make
      const layer = HttpService.Service.pipe(
        Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
        Layer.provide(PgConnector.layerRecord({ acme: { url: acme.url } })),
        Layer.provide(silent)
      )
      yield* Effect.gen(function* () {
        const { address } = yield* HttpServer.HttpServer
        const base = `http://127.0.0.1:${"port" in address ? address.port : 0}`
        const ask = (path: string, init?: RequestInit) =>
          Effect.promise(async () => {
            const response = await fetch(`${base}${path}`, init)
            return { status: response.status, body: await response.text() }
          })
        const start = (jobs: number, token: string) =>
          ask("/jobs", {
            method: "POST",
            headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
            body: JSON.stringify({ jobs })
          })
        assert.strictEqual((yield* start(10, "no tenant")).status, 401)
        assert.deepEqual(yield* start(10, "token-of-acme"), { status: 200, body: '{"tenant":"acme","started":10}' })
        yield* acme.run(
          `INSERT INTO systemplane_entries (namespace, key, value) VALUES ('limits', 'max-batch', '5')
           ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value`
        )
        const refused = Effect.repeat(start(10, "token-of-acme"), { until: ({ status }) => status !== 200 })
        assert.deepInclude(yield* Effect.timeout(refused, "20 seconds"), { status: 422 })
        assert.strictEqual((yield* ask("/healthz")).status, 200)
        assert.deepInclude(JSON.parse((yield* ask("/readyz")).body), { status: "live" })
        assert.include((yield* ask("/metrics")).body, "systemplane_manager_tenants_active")
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("pool is replaced when its size changes", () =>
    Effect.gen(function* () {
      let open = 0
      const connection = Effect.acquireRelease(
        Effect.sync(() => ++open),
        () => Effect.sync(() => open--)
      )
      const get = yield* makePool(connection)
      yield* Effect.scoped(get)
      assert.strictEqual(open, 2)
      const acme = yield* MemoryDriver.tenant("acme")
      yield* acme.write(PoolSize, 5)
      yield* TestClock.adjust("1 second")
      yield* Effect.scoped(get)
      assert.strictEqual(open, 5)
    }).pipe(withTenant("acme"), Effect.provide(SystemplaneMemory({ keys: [PoolSize], tenants: ["acme"] })))
  )

  it.effect("lifecycle-events activates and removes tenants by messages, and survives one that is malformed", () =>
    Effect.gen(function* () {
      const messages = yield* Queue.unbounded<string>()
      const handling = yield* Effect.forkScoped(LifecycleEvents.handleMessages(messages))
      const status = TenantManager.use((manager) => manager.status("acme"))
      yield* Queue.offerAll(messages, ["{", '{"_tag":"TenantActivated","tenant":"acme"}'])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(Option.getOrThrow(yield* status).state, "live")
      yield* Queue.offer(messages, '{"_tag":"TenantDeleted","tenant":"acme"}')
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* status))
      assert.isUndefined(handling.pollUnsafe())
      yield* Fiber.interrupt(handling)
    }).pipe(Effect.provide(SystemplaneMemory({ keys: [PoolSize] })), Effect.provide(silent))
  )

  it.live("single-tenant reads and writes without naming a tenant", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.make
      process.env.DATABASE_URL = Redacted.value(url)
      const { main } = yield* Effect.promise(() => import("../examples/single-tenant.ts"))
      assert.isTrue(yield* main.pipe(Effect.provide(silent)))
    })
  )

  it.live("open-telemetry exports the plane's metrics and spans", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.make
      process.env.DATABASE_URL_TEMPLATE = `${Redacted.value(url)}?application_name={tenant}`
      const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
      const spans = new InMemorySpanExporter()
      const metricReader = new PeriodicExportingMetricReader({ exporter: metrics })
      const plane = OpenTelemetry.makePlane({ metricReader, spanProcessor: new SimpleSpanProcessor(spans) })
      yield* Effect.gen(function* () {
        yield* Config.set(OpenTelemetry.Greeting, "Hi", { actor: "ada" })
        yield* Effect.promise(() => metricReader.forceFlush())
        const names = metrics
          .getMetrics()
          .flatMap(({ scopeMetrics }) =>
            scopeMetrics.flatMap((scope) => scope.metrics.map(({ descriptor }) => descriptor.name))
          )
        assert.include(names, "systemplane.manager.tenants_active")
        assert.include(
          spans.getFinishedSpans().map(({ name }) => name),
          "Config.set"
        )
      }).pipe(withTenant("acme"), Effect.provide(plane), Effect.provide(silent))
    })
  )
})

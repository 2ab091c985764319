/** Which spans there are, and that none of them tells a value: not even if the server's own words repeat it. */
import { inspect } from "node:util"
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { assert, describe, it } from "@effect/vitest"
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Effect, Layer } from "effect"
import { Config, ConfigKey, TenantManager, withTenant } from "effect-systemplane"
import * as Catalog from "../postgres/Catalog.ts"
import { captureLogs, textOf } from "../postgres/Witness.ts"
import * as ScriptedPlane from "../scripted/ScriptedPlane.ts"
import * as keys from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"

const canary = "CaNaRy"
const { ApiKey, Greeting, Limit } = keys

describe("spans", () => {
  it.effect("a cached read makes no span, in any of the ways to read", () => {
    const { layer } = ScriptedPlane.make()
    const exporter = new InMemorySpanExporter()
    const tracing = NodeSdk.layer(() => ({
      resource: { serviceName: "test" },
      spanProcessor: new SimpleSpanProcessor(exporter)
    }))
    return Effect.gen(function* () {
      yield* TenantManager.use((manager) => manager.activate("traced"))
      exporter.reset()
      const handle = yield* Config.handle(Limit)
      yield* Effect.gen(function* () {
        for (let i = 0; i < 100; i++) {
          yield* Config.get(Limit)
          yield* Config.get(Greeting.namespace, Greeting.key)
          yield* Config.getOrDefault(ApiKey)
          yield* Config.entry(Limit)
          const snapshot = yield* Config.snapshot
          assert.deepStrictEqual(
            [snapshot.get(Limit), handle.current, handle.entry.value, yield* handle],
            [600, 600, 600, 600]
          )
          yield* Config.handle(Limit)
        }
      }).pipe(Effect.withSpan("a request"))
      assert.deepStrictEqual(
        exporter.getFinishedSpans().map(({ name }) => name),
        ["a request"]
      )
    }).pipe(withTenant("traced"), Effect.provide(layer), Effect.provide(tracing))
  })

  it.live("activation, reconcile and writes have spans, with their statements below them and no value in any", () =>
    Effect.gen(function* () {
      const database = yield* TestDatabase.make
      yield* Catalog.prepare(database)
      // A rule of the operators' own, whose refusal repeats the row.
      yield* database.run(
        `ALTER TABLE systemplane_entries ADD CONSTRAINT no_refused CHECK (value::text NOT LIKE '%refused%')`
      )
      yield* database.run(
        `CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'not %', new.value USING ERRCODE = '23514'; END $$`
      )
      yield* database.run(
        `CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON systemplane_entries
         FOR EACH ROW WHEN (new.value::text LIKE '%shouted%') EXECUTE FUNCTION shout()`
      )
      const exporter = new InMemorySpanExporter()
      const logs = captureLogs()
      const errors: Array<string> = []
      const spans: Array<ReadableSpan> = []
      const tracing = NodeSdk.layer(() => ({
        resource: { serviceName: "test" },
        spanProcessor: new SimpleSpanProcessor(exporter)
      }))
      yield* Effect.gen(function* () {
        for (let i = 0; i < 100; i++) yield* Config.get(Limit)
        yield* Config.set(ApiKey, `${canary}-secret`, { actor: "ada" })
        for (const bad of ["refused", "shouted"]) {
          for (const key of [ApiKey, Greeting]) {
            errors.push(textOf(yield* Effect.flip(Config.set(key, `${canary}-${bad}`, { actor: "ada" }))))
          }
          errors.push(
            textOf(
              yield* Effect.flip(
                Config.setAll([ConfigKey.value(ApiKey, `${canary}-${bad}`), ConfigKey.value(Limit, 5)], {
                  actor: "ada"
                })
              )
            )
          )
        }
        yield* Config.remove(ApiKey, { actor: "ada" })
      }).pipe(
        withTenant("traced"),
        Effect.provide(TestPlane.layer({ traced: database }).pipe(Layer.provide(logs.layer))),
        // Taken once the plane is closed, and before the exporter is, which forgets them.
        Effect.andThen(Effect.sync(() => spans.push(...exporter.getFinishedSpans()))),
        Effect.provide(tracing)
      )
      const names = new Set(spans.map(({ name }) => name))
      for (const name of [
        "Systemplane.activate",
        "Systemplane.reconcile",
        "Config.set",
        "Config.setAll",
        "Config.remove"
      ]) {
        assert.isTrue(names.has(name), name)
      }
      const childrenOf = (name: string) => {
        const ids = new Set(spans.filter((span) => span.name === name).map((span) => span.spanContext().spanId))
        return spans.filter((span) => span.parentSpanContext !== undefined && ids.has(span.parentSpanContext.spanId))
      }
      for (const name of ["Systemplane.activate", "Systemplane.reconcile", "Config.set"]) {
        assert.include(
          childrenOf(name).map((span) => span.name),
          database.name,
          `below ${name}`
        )
      }
      assert.isTrue(spans.some(({ attributes }) => attributes["db.response.status_code"] === "23514"))
      const text = inspect(
        spans.map(({ attributes, events, links, name, status }) => [name, attributes, events, links, status]),
        {
          depth: 10
        }
      )
      for (const [where, said] of Object.entries({ text, logs: logs.lines.join(""), errors: errors.join("") })) {
        assert.notInclude(said, canary, where)
      }
    }).pipe(Effect.scoped)
  )
})

/**
 * Everywhere that the plane tells something: logs, spans, errors and metrics, kept as the texts that an operator may
 * read.
 */
import { formatWithOptions, inspect } from "node:util"
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { assert } from "@effect/vitest"
import { SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Cause, Console, Effect, Layer, Logger, Metric, References } from "effect"

const everything = { depth: 20, maxArrayLength: null, maxStringLength: null }

const textOf = (value: unknown): string => inspect(value, everything)

export const make = () => {
  const logs: Array<string> = []
  const spans: Array<string> = []
  const errors: Array<string> = []
  const metrics: Array<string> = []

  const print = (...args: ReadonlyArray<unknown>) => void logs.push(formatWithOptions(everything, ...args))
  const console: Console.Console = { ...globalThis.console, log: print, error: print, info: print, group: print }
  const structured = Logger.make((options) => {
    logs.push(textOf([Logger.formatStructured.log(options), options.message, options.cause]))
  })
  const logging = Layer.mergeAll(
    Logger.layer([structured, Logger.consoleJson, Logger.consolePretty({ mode: "tty", colors: false })]),
    Layer.succeed(Console.Console, console),
    Layer.succeed(References.MinimumLogLevel, "All")
  )

  const tracing = NodeSdk.layer(() => ({
    resource: { serviceName: "test" },
    spanProcessor: new SimpleSpanProcessor({
      export: (ended, done) => {
        for (const { attributes, events, links, name, status } of ended) {
          spans.push(textOf({ name, attributes, events, links, status }))
        }
        done({ code: 0 })
      },
      shutdown: () => Promise.resolve()
    })
  }))

  return {
    logs,
    spans,
    errors,
    metrics,
    /** Takes the logs, at every level, and the spans. */
    layer: Layer.merge(logging, tracing),
    /** Runs what must fail, and keeps what its error tells. */
    failure: <A, E extends Error, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, A, R> =>
      Effect.tap(Effect.flip(effect), (error) =>
        Effect.sync(() => {
          errors.push(error.message, String(error.stack), JSON.stringify(error), textOf(error))
          errors.push(Cause.pretty(Cause.fail(error)))
        })
      ),
    /** Keeps what is no error, and tells of some. */
    see: (seen: unknown) => void errors.push(textOf(seen), JSON.stringify(seen)),
    /** Keeps the metrics as they are now: those of a plane are gone once it is closed. */
    readMetrics: Effect.map(Metric.snapshot, (all) => void metrics.push(...all.map(textOf))),
    /** No sink was told anything with this in it. */
    assertNone: (canary: string) => {
      for (const [sink, told] of Object.entries({ logs, spans, errors, metrics })) {
        assert.deepStrictEqual(
          told.filter((text) => text.toLowerCase().includes(canary)),
          [],
          `in the ${sink}`
        )
      }
    }
  }
}

export type Sinks = ReturnType<typeof make>

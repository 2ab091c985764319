/**
 * The application's loggers and tracer, as the fibers of the engine meet them: what they throw ends nothing (G13).
 *
 * An exception of a logger or a tracer is a defect of the fiber that logs or opens a span. In a fiber of the engine
 * that would end a tenant's feed for good. So the whole engine is built in a context whose loggers and tracer catch
 * what the application's throw; the fibers that it forks inherit that context. A caller's own fiber keeps the caller's
 * loggers and tracer.
 *
 * Other code of the application that the engine calls, and where what it throws is caught:
 *
 * | code | caught in |
 * |---|---|
 * | the connector and its resolver | `postgres/PgDatabases` (a defect is a failed connect), `feed/ReconnectingFeed` (any cause is a lost session) |
 * | codecs of keys | `schema/KeyCodec` (a row that makes one throw is rejected) |
 * | handlers of changes | `config/ChangeHandlers` |
 * | the schedule of reconnects | `feed/ReconnectSignal` (its end or exception goes on with the longest pauses of the default) |
 * | metric readers | they run in fibers of their own, and read what is registered |
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Tracer from "effect/Tracer"

const silently = (run: () => void): void => {
  try {
    run()
  } catch {
    // It cannot be reported: reporting is what failed.
  }
}

const safeLogger = (logger: Logger.Logger<unknown, any>): Logger.Logger<unknown, void> =>
  Logger.make((options) => silently(() => void logger.log(options)))

/** The span itself, since exporters know it by its identity; only what the engine calls on it catches. */
const safeSpan = (span: Tracer.Span): Tracer.Span => {
  for (const name of ["end", "attribute", "event", "addLinks"] as const) {
    silently(() => {
      const method: (...args: Array<any>) => void = span[name]
      Object.defineProperty(span, name, {
        configurable: true,
        writable: true,
        value: (...args: Array<any>) => silently(() => method.apply(span, args))
      })
    })
  }
  return span
}

const safeTracer = (tracer: Tracer.Tracer): Tracer.Tracer =>
  Tracer.make({
    span(options) {
      try {
        return safeSpan(tracer.span(options))
      } catch {
        return new Tracer.NativeSpan({ ...options, sampled: false })
      }
    },
    ...(tracer.context === undefined ? {} : { context: tracer.context.bind(tracer) })
  })

/** Provides the loggers and the tracer of the surrounding context, with what they throw caught. */
export const layer = Layer.effectContext(
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.succeed(
      Context.make(
        Logger.CurrentLoggers,
        new Set([...Context.get(context, Logger.CurrentLoggers)].map(safeLogger))
      ).pipe(Context.add(Tracer.Tracer, safeTracer(Context.get(context, Tracer.Tracer))))
    )
  )
)

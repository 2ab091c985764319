/**
 * The spans of statements.
 *
 * What a server says about a failed statement may repeat a value (`Failing row contains (…)`), and the driver ends its
 * spans with it. Here they end with the code alone.
 */
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import * as Tracer from "effect/Tracer"
import * as PgFailure from "./PgFailure.ts"

/** Runs statements whose spans tell the code of what failed, and none of the server's words. */
export const discreet = <A, E, R>(statements: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.tracer, (tracer) => Effect.withTracer(statements, withoutWords(tracer)))

/**
 * Gives statements on a listening session a span, as the driver does for those of its pooled clients. Below another
 * span only: verification goes on for ever, and belongs to no request.
 */
export const ofSession = ({ database, host, port }: PgConnection.Config) => {
  const attributes = {
    "db.system.name": "postgresql",
    ...(database === undefined ? {} : { "db.namespace": database }),
    ...(host === undefined ? {} : { "server.address": host, "server.port": port })
  }
  const traced = <A>(sql: string, statement: Effect.Effect<A, SqlError>) =>
    discreet(
      Effect.withSpan(statement, database ?? "postgresql", {
        kind: "client",
        attributes: { ...attributes, "db.query.text": sql },
        captureStackTrace: false
      })
    )
  return <A>(sql: string, statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.contextWith((context: Context.Context<never>) =>
      Option.isSome(Context.getOption(context, Tracer.ParentSpan)) ? traced(sql, statement) : statement
    )
}

const withoutWords = (tracer: Tracer.Tracer): Tracer.Tracer => ({
  ...tracer,
  span: (options) => {
    const span = tracer.span(options)
    const end = span.end.bind(span)
    span.end = (endTime, exit) => {
      if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return end(endTime, exit)
      const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      // What was translated already has no words of the server.
      if (error !== undefined && !isSqlError(error)) return end(endTime, exit)
      const code = error === undefined ? undefined : PgFailure.codeOf(error).code
      if (code !== undefined) span.attribute("db.response.status_code", code)
      end(endTime, Exit.fail(new StatementFailed(code)))
    }
    return span
  }
})

class StatementFailed extends Error {
  override readonly name = "StatementFailed"
  constructor(code: string | undefined) {
    super(code === undefined ? "The statement failed" : `The statement failed (${code})`)
  }
}

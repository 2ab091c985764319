/** Everything that an operator may get to see: errors in all their forms, and logs at every level. */
import { inspect } from "node:util"
import { Cause, Layer, Logger, References } from "effect"

/** All texts that an error can turn into. */
export const textOf = (error: Error): string =>
  [
    String(error),
    JSON.stringify(error),
    inspect(error, { depth: 10, showHidden: true }),
    Cause.pretty(Cause.fail(error))
  ]
    .concat(error.stack ?? "")
    .join("\n")

/** Keeps what is logged, at every level. */
export const captureLogs = () => {
  const lines: Array<string> = []
  const logger = Logger.make((options) => {
    lines.push(Logger.formatJson.log(options))
    lines.push(inspect([options.message, options.cause], { depth: 10 }))
  })
  return {
    lines,
    layer: Layer.mergeAll(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "All"))
  }
}

/** A writer in another process, as seen from this one. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { Effect, Redacted } from "effect"
import type { Answer, Order } from "./writerProcess.ts"

export interface Writer {
  /**
   * Runs the statements in one transaction. Resolves to when `COMMIT` was sent, in nanoseconds of this process's
   * `hrtime`.
   */
  readonly write: (url: Redacted.Redacted, statements: ReadonlyArray<string>) => Promise<bigint>
}

export const make = Effect.gen(function* () {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(fileURLToPath(new URL("writerProcess.ts", import.meta.url)))),
    (child) => Effect.sync(() => child.disconnect())
  )
  const ask = async (order: Order): Promise<bigint> => {
    child.send(order)
    const [answer] = (await once(child, "message")) as [Answer]
    return BigInt(answer.committedAt)
  }
  const before = process.hrtime.bigint()
  const between = yield* Effect.promise(() => ask({}))
  const after = process.hrtime.bigint()
  if (between < before || between > after) {
    return yield* Effect.die(
      new Error("two processes of this machine have different clocks: latency cannot be measured")
    )
  }
  const writer: Writer = { write: (url, statements) => ask({ url: Redacted.value(url), statements }) }
  return writer
})

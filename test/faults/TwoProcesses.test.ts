import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, Redacted } from "effect"
import { Config, withTenant } from "effect-systemplane"
import { Burst, Limit } from "../support/keys.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as TestPlane from "../support/TestPlane.ts"
import type { Order, Seen, Word } from "./otherProcess.ts"

const program = fileURLToPath(new URL("otherProcess.ts", import.meta.url))

/** Starts the other process; it ends with the scope. */
const otherProcess = (databases: Readonly<Record<string, TestDatabase.TestDatabase>>) =>
  Effect.gen(function* () {
    const urls = Object.entries(databases).map(([tenant, { url }]) => [tenant, Redacted.value(url)])
    const words = yield* Queue.unbounded<Word>()
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => fork(program, [JSON.stringify(Object.fromEntries(urls))], { execArgv: [] })),
      (child) =>
        Effect.callback<void>((resume) => {
          if (child.exitCode !== null) return resume(Effect.void)
          child.once("exit", () => resume(Effect.void))
          child.kill("SIGKILL")
        })
    )
    child.on("message", (word) => Queue.offerUnsafe(words, word as Word))
    const hear = Queue.take(words)
    const tell = (order: Order) =>
      Effect.andThen(
        Effect.sync(() => child.send(order)),
        hear
      )
    assert.deepStrictEqual(yield* hear, { said: "live" })
    return tell
  })

const see = Effect.gen(function* () {
  const [limit, burst] = yield* Effect.all([Config.entry(Limit), Config.entry(Burst)])
  const seen: Seen = [limit.value, limit.revision, burst.value, burst.revision]
  return seen
})

const stored = (database: TestDatabase.TestDatabase) =>
  Effect.map(
    database.run("SELECT key, value::int, revision::int FROM systemplane_entries WHERE namespace = 'rate-limits'"),
    (rows): Seen => {
      const row = (key: string) => rows.find((row) => row.key === key)
      const limit = row(Limit.key)
      const burst = row(Burst.key)
      return [limit.value, limit.revision, burst.value, burst.revision]
    }
  )

describe("two processes on the same tenants", () => {
  it.live(
    "G1, G2: two processes that write the same tenants converge to the table, though sessions of both are lost",
    () =>
      Effect.gen(function* () {
        const acme = yield* TestDatabase.make
        const globex = yield* TestDatabase.make
        const databases = { acme, globex }
        const ours = TestPlane.layer(databases)
        const tell = yield* otherProcess(databases)
        yield* Effect.gen(function* () {
          const revisions: Array<number> = []
          yield* Config.onChange(Limit, ({ revision, tenant }) =>
            Effect.sync(() => tenant === "acme" && revisions.push(revision))
          )
          const write = (from: number, to: number) =>
            Effect.gen(function* () {
              for (let value = from; value <= to; value++) {
                yield* Config.set(Limit, value, { actor: "this process" })
                yield* Config.set(Burst, value, { actor: "this process" })
              }
            })
          const kill = (database: TestDatabase.TestDatabase) =>
            Effect.map(database.killListeners, (killed) => assert.strictEqual(killed, 2))
          const [theirs] = yield* Effect.all(
            [
              tell({ write: { from: 1001, to: 1050 } }),
              write(1, 50).pipe(withTenant("acme")),
              write(1, 50).pipe(withTenant("globex")),
              Effect.andThen(kill(acme), kill(globex))
            ],
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(theirs, { said: "written" })

          const expected = { acme: yield* stored(acme), globex: yield* stored(globex) }
          const equal = (seen: unknown) => JSON.stringify(seen) === JSON.stringify(expected)
          yield* TestDatabase.eventually(
            "we see the table",
            Effect.map(Effect.all({ acme: withTenant("acme")(see), globex: withTenant("globex")(see) }), equal)
          )
          yield* TestDatabase.eventually(
            "they see the table",
            Effect.map(tell({ report: true }), (word) => word.said === "sees" && equal(word.entries))
          )
          assert.deepStrictEqual(
            revisions,
            revisions.toSorted((a, b) => a - b)
          )
        }).pipe(Effect.provide(ours))
      }),
    60_000
  )
})

/**
 * `npm run --silent try -- URL [SQL or JSON]`: what `psql` and `curl` would do, for a machine that has neither. With a
 * PostgreSQL URL it runs SQL and prints the rows; with an HTTP URL it gets a page, or puts JSON there.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Redacted } from "effect"
import { connect } from "./Databases.ts"

const runSql = (url: string, sql: string) =>
  Effect.gen(function* () {
    const database = yield* connect(Redacted.make(url))
    const rows = yield* database.unsafe(sql)
    yield* Effect.sync(() => (rows.length === 0 ? console.log("done") : console.table(rows)))
  }).pipe(Effect.scoped)

const request = (url: string, json: string | undefined) =>
  Effect.tryPromise(async () => {
    const put = { method: "PUT", headers: { "content-type": "application/json" }, body: json ?? null }
    const response = await fetch(url, json === undefined ? {} : put)
    console.log(await response.text())
  })

/** What the server or the operating system said, in place of a stack trace. */
const rootMessage = (error: unknown): string =>
  error instanceof Error ? (error.cause === undefined ? error.message : rootMessage(error.cause)) : String(error)

const explain = (error: unknown) => {
  const message = rootMessage(error)
  return message.includes("ECONNREFUSED") ? `${message}: is npm start still running?` : message
}

const [url, body] = process.argv.slice(2)
const main: Effect.Effect<void, unknown> =
  url === undefined
    ? Effect.fail("Usage: npm run --silent try -- URL [SQL or JSON]")
    : url.startsWith("postgres")
      ? runSql(url, body ?? "SELECT namespace, key, value, revision, updated_by FROM systemplane_entries")
      : request(url, body)

main.pipe(
  Effect.catch((error) =>
    Effect.sync(() => {
      console.error(explain(error))
      process.exitCode = 1
    })
  ),
  NodeRuntime.runMain
)

/**
 * `npm run --silent try -- URL [SQL or JSON]`: what `psql` and `curl` would do, for a machine that has neither. With a
 * PostgreSQL URL it runs SQL and prints the rows; with an HTTP URL it gets a page, or puts JSON there.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Redacted, Schema } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { connect } from "./Databases.ts"

class Usage extends Schema.TaggedError<Usage>()("Usage", {}) {
  override get message() {
    return "Usage: npm run --silent try -- URL [SQL or JSON]"
  }
}

const runSql = (url: string, sql: string) =>
  Effect.gen(function* () {
    const database = yield* connect(Redacted.make(url))
    const rows = yield* database.unsafe(sql)
    yield* Effect.sync(() => (rows.length === 0 ? console.log("done") : console.table(rows)))
  }).pipe(Effect.scoped)

const request = (url: string, json: string | undefined) =>
  Effect.promise(async () => {
    const put = { method: "PUT", headers: { "content-type": "application/json" }, body: json ?? null }
    const response = await fetch(url, json === undefined ? {} : put)
    console.log(await response.text())
  })

const [url, body] = process.argv.slice(2)
const main: Effect.Effect<void, SqlError | Usage> =
  url === undefined
    ? Effect.fail(new Usage())
    : url.startsWith("postgres")
      ? runSql(url, body ?? "SELECT namespace, key, value, revision, updated_by FROM systemplane_entries")
      : request(url, body)

NodeRuntime.runMain(main)

/**
 * `npm run check:cursor`: 20,000 transactions on the oldest and on the newest PostgreSQL, and the three variants that
 * must fail.
 */
import { Effect, Redacted } from "effect"
import { Ddl } from "effect-systemplane"
import pg from "pg"
import * as CursorChecker from "./CursorChecker.ts"
import * as PostgresServer from "./PostgresServer.ts"

const transactions = Number(process.argv[2] ?? 20_000)
const variants: ReadonlyArray<CursorChecker.Variant> = ["newestId", "withoutRunning", "laterSnapshot", "right"]

const run = (url: (database: string) => string, variant: CursorChecker.Variant) =>
  Effect.promise(async () => {
    const database = `cursor_${variant.toLowerCase()}`
    const administer = async (name: string, sql: string) => {
      const client = new pg.Client({ connectionString: url(name) })
      await client.connect()
      await client.query(sql)
      await client.end()
    }
    await administer("postgres", `CREATE DATABASE ${database}`)
    await administer(database, Ddl.sql)
    return CursorChecker.check({ url: url("postgres"), database, transactions, variant })
  })

const program = Effect.gen(function* () {
  let holds = true
  for (const version of [14, 18] as const) {
    const server = yield* PostgresServer.makeWith({}, version)
    for (const variant of variants) {
      const report = yield* run((database) => Redacted.value(server.url(database)), variant)
      console.log(`PostgreSQL ${version}, ${variant}: ${JSON.stringify(report)}`)
      holds &&= report.differences > 0 === (variant !== "right") && report.gaps === 0
    }
  }
  if (!holds) process.exitCode = 1
}).pipe(Effect.scoped)

await Effect.runPromise(program)

/**
 * `npm run measure:history`: what the history costs, on a server of its own: a single write and a burst of 10,000 with
 * and without it, and the bytes that a record takes beside its values. It fails if a write takes more than twice as
 * long, or a record more than 400 bytes.
 */
import { performance } from "node:perf_hooks"
import { Effect, Redacted } from "effect"
import { Ddl } from "effect-systemplane"
import pg from "pg"
import * as PostgresServer from "./PostgresServer.ts"

const keys = 10_000
const rounds = 15
const singles = 300

const median = (times: ReadonlyArray<number>) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]!

const timed = async (run: () => Promise<unknown>) => {
  const start = performance.now()
  await run()
  return performance.now() - start
}

const prepare = async (url: string, script: string) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(script)
  await client.query(
    "INSERT INTO systemplane_entries (namespace, key, value) SELECT 'limits', 'key-' || i, '0' FROM generate_series(1, $1::int) AS i",
    [keys]
  )
  return client
}

const single = (client: pg.Client, i: number) =>
  client.query({
    name: "single",
    text: "UPDATE systemplane_entries SET value = to_jsonb($1::int) WHERE namespace = 'limits' AND key = 'key-7'",
    values: [i]
  })

const burst = (client: pg.Client, i: number) =>
  client.query("UPDATE systemplane_entries SET value = to_jsonb($1::int)", [i])

/** Medians of both, in turns, so that what else the machine does meets both alike. */
const compare = async (plain: pg.Client, recorded: pg.Client, times: number, run: typeof single) => {
  const took = { plain: [] as Array<number>, recorded: [] as Array<number> }
  for (let i = 1; i <= times; i++) {
    took.plain.push(await timed(() => run(plain, i)))
    took.recorded.push(await timed(() => run(recorded, i)))
  }
  return { plain: median(took.plain), recorded: median(took.recorded) }
}

const measure = async (url: (database: string) => string) => {
  const server = new pg.Client({ connectionString: url("postgres") })
  await server.connect()
  await server.query("CREATE DATABASE plain")
  await server.query("CREATE DATABASE recorded")
  await server.end()
  const plain = await prepare(url("plain"), Ddl.script({ history: false }))
  const recorded = await prepare(url("recorded"), Ddl.sql)
  const one = await compare(plain, recorded, singles, single)
  const many = await compare(plain, recorded, rounds, burst)
  const { rows } = await recorded.query(
    `SELECT (pg_total_relation_size('systemplane_history') - sum(coalesce(pg_column_size(value), 0) + coalesce(pg_column_size(previous_value), 0)))
       / count(*) AS bytes FROM systemplane_history`
  )
  await Promise.all([plain.end(), recorded.end()])
  return { one, many, bytes: Number(rows[0].bytes) }
}

const report = (what: string, { plain, recorded }: { readonly plain: number; readonly recorded: number }) => {
  const ratio = recorded / plain
  console.log(
    `${what}: ${plain.toFixed(2)} ms without, ${recorded.toFixed(2)} ms with a history, × ${ratio.toFixed(2)}`
  )
  return ratio <= 2
}

await Effect.runPromise(
  Effect.gen(function* () {
    const server = yield* PostgresServer.make
    const { bytes, many, one } = yield* Effect.promise(() =>
      measure((database) => Redacted.value(server.url(database)))
    )
    const holds = [report("a single write", one), report("a burst of 10,000", many), bytes <= 400]
    console.log(`a record, beside its values, with its indexes: ${bytes.toFixed(0)} bytes`)
    if (holds.includes(false)) process.exitCode = 1
  }).pipe(Effect.scoped)
)

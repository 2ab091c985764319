/**
 * `npm run check:record`: what a record is good for, on the oldest and the newest PostgreSQL, by a role with the least
 * privileges: rollback to each of 1,000 revisions; and reads of what changed, records without gaps and healed sequences
 * on a standby and its promotion, on a dumped and restored copy, on a logical subscriber that is promoted and written
 * to, and beside a transaction that stays open in another database. Each number is printed; it fails if one is not as
 * expected.
 */
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { performance } from "node:perf_hooks"
import { promisify } from "node:util"
import { Effect, Layer, Option, Redacted, References, Schema, Stream } from "effect"
import {
  ChangeHistory,
  Config,
  ConfigKey,
  Ddl,
  PgConnector,
  type Systemplane,
  SystemplaneLive,
  TenantId
} from "effect-systemplane"
import pg from "pg"
import * as PgCursorRead from "../src/layers/postgres/diff/PgCursorRead.ts"
import * as PgDiff from "../src/layers/postgres/diff/PgDiff.ts"
import * as PostgresServer from "./PostgresServer.ts"

const revisions = Number(process.argv[2] ?? 1_000)

const Limit = ConfigKey.make("limits", "per-minute", {
  schema: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  defaultValue: 0
})
const ada = { actor: "ada" }
const app = { user: "app", password: "app" }

type Url = (database: string, role?: typeof app) => string

const connect = async (connectionString: string) => {
  const client = new pg.Client({ connectionString, types: { getTypeParser } })
  client.on("error", () => {})
  await client.connect()
  return client
}
const getTypeParser = (oid: number, format?: any): any =>
  oid === 20 ? (text: string) => BigInt(text) : pg.types.getTypeParser(oid, format)

const run = async (url: string, ...statements: ReadonlyArray<string>) => {
  const client = await connect(url)
  try {
    let rows: ReadonlyArray<any> = []
    for (const sql of statements) rows = (await client.query(sql)).rows
    return rows
  } finally {
    await client.end()
  }
}

const prepare = async (url: Url, database: string) => {
  await run(url("postgres"), `CREATE DATABASE ${database}`)
  await run(url(database), Ddl.sql, Ddl.grants("app"))
}

/** Runs a program on a plane of its own, as the role of an application. */
const onPlane = <A, E>(url: string, program: Effect.Effect<A, E, Systemplane>) =>
  program.pipe(
    Effect.provide(
      SystemplaneLive({ keys: [Limit], bootstrap: "verify", seedDefaults: false, boot: "background" }).pipe(
        Layer.provide(PgConnector.layerSingle({ url: Redacted.make(url), tenant: TenantId.make("acme") })),
        Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error"))
      )
    ),
    Effect.runPromise
  )

/** How a session follows the table: what each read returned, and whether it read what changed alone. */
const follow = async (url: string) => {
  const client = await connect(url)
  const sent: Array<string> = []
  const { diff } = PgDiff.onSession(
    (sql, parameters = []) => {
      sent.push(sql)
      return Effect.promise(async () => (await client.query(sql, [...parameters])).rows)
    },
    undefined,
    { lasting: Number.POSITIVE_INFINITY }
  )
  let known: bigint | undefined
  const keys = [Limit]
  return {
    read: async () => {
      sent.length = 0
      const found = await Effect.runPromise(diff(keys, [known]))
      if (found.length > 0) known = found[0]!.row?.fingerprint
      return { value: found[0]?.row?.value, byCursor: sent.every((sql) => sql === PgCursorRead.selectSince) }
    },
    close: () => client.end()
  }
}

const write = (url: string, value: number) =>
  run(
    url,
    `INSERT INTO systemplane_entries (namespace, key, value) VALUES ('limits', 'per-minute', '${value}')
     ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value`
  )

/** What is wrong with the record: entries that it does not know, and records that do not go on from the one before. */
const gaps = async (url: string) => {
  const [{ count }] = await run(
    url,
    `SELECT (
       SELECT count(*) FROM systemplane_entries AS e WHERE NOT EXISTS (
         SELECT FROM systemplane_history AS h
         WHERE h.namespace = e.namespace AND h.key = e.key AND h.revision = e.revision AND h.value = e.value
       )
     ) + (
       SELECT count(*) FROM (
         SELECT h.*, lag(h.revision) OVER per_key AS before FROM systemplane_history AS h
         WINDOW per_key AS (PARTITION BY h.namespace, h.key ORDER BY h.id)
       ) AS h WHERE h.before IS NOT NULL AND h.previous_revision IS DISTINCT FROM h.before
     ) + (SELECT count(*) FROM (SELECT 1 FROM systemplane_history GROUP BY id HAVING count(*) > 1) AS twice) AS count`
  )
  return Number(count)
}

const rollbacks = async (url: Url, database: string) => {
  await run(
    url(database),
    `DO $$ BEGIN FOR i IN 1..${revisions} LOOP
       PERFORM systemplane_set('limits', 'per-minute', to_jsonb(CASE WHEN i % 100 = 0 THEN -i ELSE i END), 'step ' || i);
     END LOOP; END $$`
  )
  const started = performance.now()
  const counts = await onPlane(
    url(database, app),
    Effect.gen(function* () {
      const past: Array<{ readonly revision: number; readonly value?: unknown }> = []
      let before: number | undefined
      do {
        const page = yield* ChangeHistory.ofKey(Limit, { before, limit: 100 })
        past.push(...page.records)
        before = page.next
      } while (before !== undefined)
      const counts = { revisions: past.length, rolledBack: 0, refused: 0, differences: 0 }
      for (const { revision, value } of past) {
        const { rejected, revision: revisionBefore } = yield* Config.entry(Limit)
        const result = yield* Effect.result(ChangeHistory.rollback(Limit, { to: revision, ...ada }))
        const after = yield* Config.entry(Limit)
        if (result._tag === "Success") {
          counts.rolledBack++
          counts.differences += after.value === value ? 0 : 1
        } else {
          counts.refused++
          const wrote = after.revision !== revisionBefore || after.rejected?.revision !== rejected?.revision
          counts.differences += wrote || result.failure.reason._tag !== "NoLongerValid" || Number(value) >= 0 ? 1 : 0
        }
      }
      return counts
    })
  )
  assert.deepEqual(counts, {
    revisions,
    rolledBack: revisions - Math.floor(revisions / 100),
    refused: Math.floor(revisions / 100),
    differences: 0
  })
  return { ...counts, milliseconds: Math.round(performance.now() - started), gaps: await gaps(url(database)) }
}

/** After a copy came to life: a write through the plane and one by hand are read as what changed, and are on record. */
const lives = async (url: Url, database: string) => {
  const [{ highest }] = await run(
    url(database),
    "SELECT greatest((SELECT max(revision) FROM systemplane_entries), (SELECT max(revision) FROM systemplane_history)) AS highest"
  )
  const session = await follow(url(database, app))
  await session.read()
  const set = await onPlane(
    url(database, app),
    Effect.gen(function* () {
      const entry = yield* Config.set(Limit, 1_001, ada)
      assert.equal(yield* ChangeHistory.verify, 0)
      return entry
    })
  )
  assert.ok(BigInt(set.revision) > highest, "the revision is above all of the copy")
  assert.deepEqual(await session.read(), { value: 1_001, byCursor: true })
  await write(url(database, app), 1_002)
  assert.deepEqual(await session.read(), { value: 1_002, byCursor: true })
  assert.deepEqual(await session.read(), { value: undefined, byCursor: true })
  await session.close()
  return { byCursor: 3, gaps: await gaps(url(database)) }
}

const heldOpen = async (url: Url, database: string) => {
  const elsewhere = await connect(url("postgres"))
  await elsewhere.query("BEGIN")
  await elsewhere.query("SELECT pg_current_xact_id()")
  await run(url("postgres"), "CREATE TABLE IF NOT EXISTS busy (i int)")
  const busy = await connect(url("postgres"))
  for (let i = 0; i < 2_000; i++) await busy.query("INSERT INTO busy VALUES (1)")
  await busy.end()
  const found = await lives(url, database)
  await elsewhere.query("COMMIT")
  await elsewhere.end()
  return found
}

const standby = async (server: PostgresServer.PostgresServer, url: Url, database: string) => {
  const cursor = await onPlane(url(database, app), nextCursor(undefined))
  await Effect.runPromise(server.becomeStandby)
  const session = await follow(url(database, app))
  await session.read()
  assert.equal((await session.read()).byCursor, false)
  await session.close()
  const reason = await onPlane(
    url(database, app),
    Effect.gen(function* () {
      assert.equal(yield* ChangeHistory.verify, 0)
      yield* ChangeHistory.ofKey(Limit)
      return (yield* Effect.flip(nextCursor(undefined))).reason._tag
    })
  )
  assert.equal(reason, "HistoryMissing")
  await run(url("postgres"), "SELECT pg_promote()")
  await Effect.runPromise(server.restart("fast"))
  const reset = await onPlane(
    url(database, app),
    Effect.map(firstEvent(cursor), ({ _tag }) => _tag)
  )
  assert.equal(reset, "Reset")
  return { readsOfAll: 2, afterPromotion: reset, ...(await lives(url, database)) }
}

const firstEvent = (cursor: string | undefined) =>
  Effect.map(
    Stream.runHead(Stream.unwrap(Effect.map(ChangeHistory, (history) => history.since(cursor)))),
    Option.getOrThrow
  )
const nextCursor = (cursor: string | undefined) => Effect.map(firstEvent(cursor), (event) => event.cursor)

/** The rows alone, as a dump of data is restored into a database that was prepared before. */
const restored = async (url: Url, from: string, to: string) => {
  await prepare(url, to)
  for (const table of ["systemplane_entries", "systemplane_history"]) {
    const [{ rows }] = await run(url(from), `SELECT jsonb_agg(t)::text AS rows FROM ${table} AS t`)
    const target = await connect(url(to))
    await target.query("SET session_replication_role = replica")
    await target.query(`INSERT INTO ${table} SELECT * FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)`, [rows])
    await target.end()
  }
  const [{ records }] = await run(url(to), "SELECT count(*)::int AS records FROM systemplane_history")
  return { records, ...(await heldOpen(url, to)) }
}

/** By PostgreSQL's own tool, if one is installed that knows this version. */
const dumped = async (url: Url, from: string, to: string) => {
  await run(url("postgres"), `CREATE DATABASE ${to}`)
  let script: string
  try {
    script = (await promisify(execFile)("pg_dump", [url(from)], { maxBuffer: 1 << 28 })).stdout
    await promisify(execFile)("psql", ["-q", "-v", "ON_ERROR_STOP=1", "-d", url(to), "-c", "SELECT 1"])
  } catch {
    return "skipped: no pg_dump for this version"
  }
  const child = execFile("psql", ["-q", "-v", "ON_ERROR_STOP=1", "-d", url(to)])
  child.stdin!.end(script)
  assert.equal(await new Promise((resolve) => child.on("exit", resolve)), 0)
  return lives(url, to)
}

const subscribed = async (url: Url, from: string, to: string) => {
  await prepare(url, to)
  await run(
    url(from),
    "CREATE PUBLICATION record FOR TABLE systemplane_entries, systemplane_history",
    "SELECT pg_create_logical_replication_slot('record', 'pgoutput')"
  )
  const state =
    "SELECT coalesce((SELECT max(id) FROM systemplane_history), 0)::text || '/' || coalesce((SELECT max(revision) FROM systemplane_entries), 0) AS state"
  await run(
    url(to),
    `CREATE SUBSCRIPTION record CONNECTION '${url(from)}' PUBLICATION record WITH (create_slot = false, slot_name = 'record')`
  )
  for (let i = 0; i < 20; i++) await write(url(from), 2_000 + i)
  const [{ state: wanted }] = await run(url(from), state)
  const deadline = performance.now() + 30_000
  while ((await run(url(to), state))[0].state !== wanted) {
    if (performance.now() > deadline) throw new Error("the subscriber did not catch up")
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await run(
    url(to),
    "ALTER SUBSCRIPTION record DISABLE",
    "ALTER SUBSCRIPTION record SET (slot_name = NONE)",
    "DROP SUBSCRIPTION record"
  )
  return lives(url, to)
}

const program = Effect.gen(function* () {
  for (const version of [14, 18] as const) {
    const server = yield* PostgresServer.makeWith({ wal_level: "logical" }, version)
    const url: Url = (database, role) => Redacted.value(server.url(database, role))
    const say = (what: string, check: () => Promise<unknown>) =>
      Effect.promise(async () => {
        const report = await check()
        console.log(`PostgreSQL ${version}, ${what}: ${JSON.stringify(report)}`)
        const { gaps } = report as { readonly gaps?: number }
        if (gaps !== undefined) assert.equal(gaps, 0)
      })
    yield* Effect.promise(() => run(url("postgres"), "CREATE ROLE app LOGIN PASSWORD 'app'"))
    yield* Effect.promise(() => prepare(url, "tenant"))
    yield* say("rollback to each revision", () => rollbacks(url, "tenant"))
    yield* say("a transaction open elsewhere", () => heldOpen(url, "tenant"))
    yield* say("a standby, then promoted", () => standby(server, url, "tenant"))
    yield* say("rows restored into a prepared database", () => restored(url, "tenant", "restored"))
    yield* say("pg_dump and psql", () => dumped(url, "tenant", "dumped"))
    yield* say("a logical subscriber, then promoted", () => subscribed(url, "tenant", "subscriber"))
  }
}).pipe(Effect.scoped)

await Effect.runPromise(program)

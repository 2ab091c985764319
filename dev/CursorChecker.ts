/**
 * A randomized check of the read of what changed: eight writers do all that a table can suffer, and after each read the
 * state that follows from the answers must equal the table, both in one snapshot.
 *
 * The writers commit slowly, roll back to savepoints, are killed, copy, truncate, merge, and change the schema, while a
 * transaction is open in another database. `variant` breaks the read in one of the ways that look right, to show that
 * the check finds it.
 */
import { Effect } from "effect"
import pg from "pg"
import * as PgCursorRead from "../src/layers/postgres/diff/PgCursorRead.ts"
import * as PgDiff from "../src/layers/postgres/diff/PgDiff.ts"
import * as PgRows from "../src/layers/postgres/PgRows.ts"

/** Ways to read what changed that lose a change. */
export type Variant = "right" | "newestId" | "withoutRunning" | "laterSnapshot"

export interface CursorCheckOptions {
  /** The URL of a superuser. */
  readonly url: string
  /** A database of that server that `Ddl.sql` prepared. */
  readonly database: string
  /** How many transactions the writers commit together. */
  readonly transactions: number
  readonly variant?: Variant | undefined
}

export interface CursorReport {
  readonly transactions: number
  readonly reads: number
  /** How many of the reads returned what changed alone. */
  readonly byCursor: number
  readonly differences: number
  /** How many records the history holds. */
  readonly records: number
  /**
   * Records that do not go on from the one before, and keys whose last record is not their row: what is missing, or
   * there twice.
   */
  readonly gaps: number
}

const keys = ["alpha", "beta"].flatMap((namespace) =>
  Array.from({ length: 20 }, (_, i) => ({ namespace, key: `key-${i}` }))
)

const connect = async (url: string, database: string, name: string) => {
  const address = new URL(url)
  address.pathname = `/${database}`
  const client = new pg.Client({ connectionString: address.toString(), application_name: name })
  client.on("error", () => {})
  await client.connect()
  return client
}

const types = {
  getTypeParser: (oid: number, format?: any) =>
    oid === 20 ? (text: string) => BigInt(text) : (pg.types.getTypeParser(oid, format) as any)
}

export const check = async (options: CursorCheckOptions): Promise<CursorReport> => {
  const { database, transactions, url, variant = "right" } = options
  const setUp = await connect(url, database, "check")
  const { rows } = await setUp.query("SELECT current_setting('server_version_num')::int AS version")
  const version: number = rows[0].version

  const elsewhere = await connect(url, "postgres", "elsewhere")
  await elsewhere.query("BEGIN")
  await elsewhere.query("SELECT pg_current_xact_id()")

  let committed = 0
  let over = false
  const pids = new Set<number>()
  const connectWriter = async () => {
    const client = await connect(url, database, "writer")
    // Writers that take random rows get in each other's way all the time.
    await client.query("SET deadlock_timeout = '5ms'")
    return client
  }
  const writers = Array.from({ length: 8 }, async () => {
    let client = await connectWriter()
    while (!over) {
      try {
        const { processID } = client as any
        pids.add(processID)
        await transaction(client, { version, kill: [...pids].filter((pid) => pid !== processID) })
        committed++
      } catch {
        pids.delete((client as any).processID)
        await client.query("ROLLBACK").catch(() => client.end().catch(() => {}))
        const alive = await client.query("SELECT 1").catch(() => undefined)
        if (alive === undefined) client = await connectWriter()
      }
    }
    await client.end().catch(() => {})
  })

  const report = await follow(
    options,
    variant,
    () => committed,
    () => {
      over = true
    }
  )
  over = true
  await Promise.all(writers)
  await elsewhere.query("ROLLBACK")
  const {
    rows: [record]
  } = await setUp.query(selectGaps)
  await Promise.all([elsewhere.end(), setUp.end()])
  return { ...record, ...report, transactions: committed < transactions ? committed : transactions }
}

/** Reads again and again until the writers have committed enough, and once more. */
const follow = async (
  { database, transactions, url }: CursorCheckOptions,
  variant: Variant,
  committed: () => number,
  stop: () => void
) => {
  const reader = await connect(url, database, "reader")
  const other = await connect(url, database, "another session")
  let newest = 0n
  let byCursor = 0
  let usedCursor = false
  const query = (sql: string, parameters: ReadonlyArray<unknown> = []) =>
    Effect.promise(async () => {
      usedCursor ||= sql === PgCursorRead.selectSince
      const { rows } = await reader.query({ text: broken(sql, variant, newest), values: [...parameters], types })
      if (variant === "laterSnapshot" && rows[0] !== undefined) {
        const later = await other.query("SELECT pg_current_snapshot()::text AS cursor")
        rows[0].cursor = later.rows[0].cursor
      }
      return rows
    })
  const { diff } = PgDiff.onSession(query as any, undefined, { lasting: Number.POSITIVE_INFINITY })
  const known: Array<bigint | undefined> = keys.map(() => undefined)
  /** What the rows say, by what was read of them: a table that is written anew as it was has other fingerprints. */
  const said: Array<string | undefined> = keys.map(() => undefined)
  let reads = 0
  let differences = 0
  for (let last = false; ; ) {
    if (committed() >= transactions) stop()
    last = committed() >= transactions
    await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    // Before the snapshot is taken: what TRUNCATE removes is gone for older snapshots, too.
    await reader.query("LOCK TABLE systemplane_entries IN ACCESS SHARE MODE")
    usedCursor = false
    for (const { row, slot } of await Effect.runPromise(diff(keys, [...known]))) {
      known[slot] = row?.fingerprint
      said[slot] = row && contentOf(row.value, row.revision, row.updatedBy)
    }
    if (usedCursor) byCursor++
    const { rows } = await reader.query({ text: selectRows, types })
    if (variant === "newestId") {
      newest = BigInt(
        (await reader.query("SELECT coalesce(max(id), 0)::text AS id FROM systemplane_history")).rows[0].id
      )
    }
    await reader.query("COMMIT")
    reads++
    const actual = new Map(rows.map((row: any) => [`${row.namespace}/${row.key}`, row]))
    let differs = false
    for (const [slot, { key, namespace }] of keys.entries()) {
      const row = actual.get(`${namespace}/${key}`)
      const says = row && contentOf(JSON.parse(row.value), Number(row.revision), row.updated_by)
      if (said[slot] === says) continue
      differs = true
      said[slot] = says
      known[slot] = row?.fingerprint
    }
    if (differs) differences++
    if (last || (variant !== "right" && differences > 0)) break
  }
  stop()
  await Promise.all([reader.end(), other.end()])
  return { reads, byCursor, differences }
}

/**
 * The history, replayed: each record of a key goes on from the one before it, by value and by revision, and the last
 * one is the row. So no change is missing, and none is there twice.
 */
export const selectGaps = `
  WITH linked AS (
    SELECT h.*, lag(h.operation) OVER w AS last_operation, lag(h.value) OVER w AS last_value, lag(h.revision) OVER w AS last_revision,
      lead(h.id) OVER w IS NULL AS newest
    FROM systemplane_history AS h WINDOW w AS (PARTITION BY h.namespace, h.key ORDER BY h.id)
  )
  SELECT (SELECT count(*)::int FROM linked) AS records,
    (
      SELECT count(*)::int FROM linked AS h
      WHERE CASE WHEN h.last_operation IS NULL OR h.last_operation = 'delete' THEN h.operation <> 'create'
        ELSE h.operation = 'create' OR h.previous_value IS DISTINCT FROM h.last_value
          OR h.previous_revision IS DISTINCT FROM h.last_revision END
    ) + (
      SELECT count(*)::int FROM systemplane_entries AS e
      FULL JOIN (SELECT * FROM linked AS l WHERE l.newest AND l.operation <> 'delete') AS h
        ON h.namespace = e.namespace AND h.key = e.key
      WHERE e.value IS DISTINCT FROM h.value OR e.revision IS DISTINCT FROM h.revision
    ) AS gaps`

const contentOf = (value: unknown, revision: number, updatedBy: string) => JSON.stringify([value, revision, updatedBy])

const selectRows = `
  SELECT e.namespace, e.key, e.value::text AS value, e.revision, e.updated_by, ${PgRows.fingerprint} AS fingerprint
  FROM systemplane_entries AS e`

const running = "pg_catalog.pg_snapshot_xip(sent.cursor) AS x (id)"
const noneRunning = "(SELECT y FROM pg_catalog.pg_snapshot_xip(sent.cursor) AS y WHERE false) AS x (id)"
const later = "h.transaction_id >= pg_catalog.pg_snapshot_xmax(sent.cursor)"

const broken = (sql: string, variant: Variant, newest: bigint): string => {
  if (sql !== PgCursorRead.selectSince) return sql
  switch (variant) {
    case "newestId":
      return replaced(replaced(sql, later, `h.id > ${newest}`), running, noneRunning)
    case "withoutRunning":
      return replaced(sql, running, noneRunning)
    default:
      return sql
  }
}

const replaced = (sql: string, part: string, by: string): string => {
  if (!sql.includes(part)) throw new Error(`The statement has no ${part}`)
  return sql.replace(part, by)
}

const chance = (share: number) => Math.random() < share
const among = <A>(all: ReadonlyArray<A>): A => all[Math.floor(Math.random() * all.length)]!
const value = () => JSON.stringify({ n: Math.floor(Math.random() * 1e9) })

const put = (client: pg.Client) => {
  const { key, namespace } = among(keys)
  return client.query(
    `INSERT INTO systemplane_entries (namespace, key, value) VALUES ($1, $2, $3)
     ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value`,
    [namespace, key, value()]
  )
}

const erase = (client: pg.Client) => {
  const { key, namespace } = among(keys)
  return client.query("DELETE FROM systemplane_entries WHERE namespace = $1 AND key = $2", [namespace, key])
}

const copy = async (client: pg.Client) => {
  const { key, namespace } = among(keys)
  await client.query("DELETE FROM systemplane_entries WHERE namespace = $1 AND key = $2", [namespace, key])
  await client.query(
    `COPY systemplane_entries (namespace, key, value) FROM PROGRAM 'printf "${namespace}\\t${key}\\t${Math.floor(Math.random() * 1e9)}\\n"'`
  )
}

const merge = (client: pg.Client) => {
  const { namespace } = among(keys)
  return client.query(
    `MERGE INTO systemplane_entries AS e
     USING (SELECT $1::text AS namespace, 'key-' || n AS key, n FROM generate_series(0, 4) AS n) AS s
     ON e.namespace = s.namespace AND e.key = s.key
     WHEN MATCHED AND s.n = 0 THEN DELETE
     WHEN MATCHED THEN UPDATE SET value = to_jsonb(random())
     WHEN NOT MATCHED THEN INSERT (namespace, key, value) VALUES (s.namespace, s.key, to_jsonb(s.n))`,
    [namespace]
  )
}

const rename = (client: pg.Client) => {
  const { key, namespace } = among(keys)
  return client.query(
    `UPDATE systemplane_entries AS e SET key = $3 WHERE namespace = $1 AND key = $2
       AND NOT EXISTS (SELECT FROM systemplane_entries AS o WHERE o.namespace = $1 AND o.key = $3)`,
    [namespace, key, among(keys).key]
  )
}

const transaction = async (
  client: pg.Client,
  { kill, version }: { readonly kill: ReadonlyArray<number>; readonly version: number }
) => {
  if (chance(0.002)) {
    await client.query(
      among([
        "CREATE INDEX ON systemplane_entries (updated_at)",
        "VACUUM FULL systemplane_entries",
        "ANALYZE systemplane_history",
        "ALTER TABLE systemplane_entries SET (fillfactor = 70)"
      ])
    )
    return
  }
  if (chance(0.3)) {
    await (chance(0.7) ? put(client) : erase(client))
    return
  }
  await client.query("BEGIN")
  // A cut in the middle of a transaction, which is rolled back.
  for (let i = Math.ceil(Math.random() * 4); i > 0; i--) {
    if (chance(0.2)) {
      await client.query("SAVEPOINT s")
      await put(client)
      await client.query(chance(0.5) ? "ROLLBACK TO SAVEPOINT s" : "RELEASE SAVEPOINT s")
    }
    await among([put, put, put, erase, rename, copy, ...(version >= 150_000 ? [merge] : [])])(client)
  }
  if (chance(0.003)) await client.query("TRUNCATE systemplane_entries")
  if (chance(0.1)) await client.query("SELECT pg_sleep(random() * 0.03)")
  if (chance(0.003) && kill.length > 0) await client.query("SELECT pg_terminate_backend($1)", [among(kill)])
  await client.query(chance(0.1) ? "ROLLBACK" : "COMMIT")
}

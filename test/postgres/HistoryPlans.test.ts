/** Whatever is asked of a long history costs a look into an index, also if the server plans for any parameters. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as PgDiff from "../../src/layers/postgres/diff/PgDiff.ts"
import * as PgChanges from "../../src/layers/postgres/history/PgChanges.ts"
import * as PgPast from "../../src/layers/postgres/history/PgPast.ts"
import * as PgSince from "../../src/layers/postgres/history/PgSince.ts"
import * as PgFence from "../../src/layers/postgres/PgFence.ts"
import * as PgWrites from "../../src/layers/postgres/PgWrites.ts"
import type { Query } from "../../src/services/Connector.ts"
import * as TestDatabase from "../support/TestDatabase.ts"
import * as Catalog from "./Catalog.ts"

const length = 20_000

/** 1,000 keys: ten of one namespace, and others with a namespace each. */
const namespaceOf = (key: string) => `CASE WHEN ${key} < 10 THEN 'n' ELSE 'n' || ${key} END`
const followed = Array.from({ length: 500 }, (_, i) => ({ namespace: i < 10 ? "n" : `n${i}`, key: `k${i}` }))

/** Records of these keys, as their triggers would have left them, of this many changes. */
const fill = (changes: number) => `
  INSERT INTO systemplane_history (namespace, key, operation, revision, previous_revision, previous_value, value, changed_at,
    changed_by, change_id, transaction_id)
  SELECT ${namespaceOf("i % 1000")}, 'k' || i % 1000, 'update', i, i - 1000, '1', to_jsonb(i), now() - (${length} - i) * interval '1 second',
    'ada', md5((i % ${changes})::text)::uuid, (3 + i % ${changes} % 500)::text::xid8
  FROM generate_series(1, ${length}) AS i`

const read = `SELECT coalesce(sum(s.seq_tup_read), 0)::int AS sequential, coalesce(sum(s.idx_tup_fetch), 0)::int AS fetched
  FROM pg_stat_xact_user_tables AS s WHERE s.relname = 'systemplane_history'`

/** A page of 20 changes, with all records of its key for each where the server has no statistics. */
const mostFetched = 20 * 60

/** The second read of a session, to which no notification has come. */
const nextRead = (options: PgDiff.SessionDiffOptions) =>
  Effect.fnUntraced(function* (query: Query) {
    const { diff } = PgDiff.onSession(query, undefined, options)
    const known: Array<bigint | undefined> = followed.map(() => undefined)
    for (const { row, slot } of yield* diff(followed, known)) known[slot] = row?.fingerprint
    assert.deepStrictEqual(yield* diff(followed, known), [])
  })

const one = { namespace: "n", key: "k7" }
const change = () => ({ id: crypto.randomUUID(), actor: "ada" })
const put = (json: string | undefined) => [{ ...one, json }]

layer(Layer.empty, { excludeTestServices: true })("of a history of many records", (it) => {
  for (const [of, { analyzed, changes }] of Object.entries({
    "many small changes": { analyzed: true, changes: length },
    "a few large changes": { analyzed: true, changes: 4 },
    "changes that the server has no statistics of": { analyzed: false, changes: length }
  })) {
    it.effect(`each statement reads what it returns, by generic plans: ${of}`, () =>
      Effect.gen(function* () {
        const database = yield* TestDatabase.make
        yield* Catalog.prepare(database)
        const { run } = database
        if (!analyzed) yield* run("ALTER TABLE systemplane_history SET (autovacuum_enabled = off)")
        yield* run(
          `INSERT INTO systemplane_entries (namespace, key, value)
           SELECT ${namespaceOf("i")}, 'k' || i, '1' FROM generate_series(0, 999) AS i`
        )
        yield* database.transaction(
          Effect.andThen(run("SELECT set_config('systemplane.recording', 'on', true)"), run(fill(changes)))
        )
        if (analyzed) yield* run("ANALYZE")

        yield* database.write(one.namespace, one.key, "last")
        const id = (yield* PgPast.ofKey(one, { before: undefined, limit: 1 })(run)).records[0]!.changeId!
        const { cursor } = yield* PgSince.since(undefined)(run)
        const page = {
          namespace: undefined,
          key: undefined,
          actor: undefined,
          from: undefined,
          to: undefined,
          limit: 20
        }
        const statements: Readonly<Record<string, (query: Query) => Effect.Effect<unknown, unknown>>> = {
          "records of a key": PgPast.ofKey(one, { before: 15_000, limit: 20 }),
          "the record of a revision": PgPast.ofRevision(one, 7),
          "the last values of a rejected row": PgPast.recall([{ ...one, revision: length, before: undefined }], 4),
          "a change": PgPast.ofChange(id),
          "a page of changes": PgChanges.changes({ ...page, before: undefined }),
          "a later page": PgChanges.changes({ ...page, before: 15_000 }),
          "a page of one key": PgChanges.changes({ ...page, ...one, before: undefined }),
          "what became of a change": (query) => PgWrites.outcomeOf(query, put('"last"'), { id, actor: "ada" }),
          "what was recorded since": PgSince.since(cursor),
          "what changed": nextRead({ lasting: 60_000 }),
          "what changed, in a verification": nextRead({ lasting: 0 }),
          "a write": (query) => PgWrites.put(query, put("2"), change()),
          "a removal": (query) => PgWrites.put(query, put(undefined), change()),
          "a removal of nothing": (query) =>
            PgWrites.put(query, [{ namespace: "n", key: "none", json: undefined }], change()),
          "keeping late copies out": (query) =>
            PgFence.fence(query, { namespace: "n", key: "none", json: undefined }, change()),
          "a change by hand": (query) => query("UPDATE systemplane_entries SET value = '3' WHERE key = 'k8'"),
          "a record by another service": (query) =>
            query(
              `INSERT INTO systemplane_history (namespace, key, operation, revision, changed_at, changed_by)
             VALUES ('n', 'k9', 'update', 1, now(), 'go')`
            ),
          "taking a change back by hand": (query) =>
            Effect.gen(function* () {
              yield* query("SELECT systemplane_set('n', 'k9', '4', 'why')")
              const [last]: ReadonlyArray<any> = yield* query(
                "SELECT change_id FROM systemplane_recent_changes LIMIT 1"
              )
              yield* query("SELECT systemplane_revert($1::uuid, 'oops')", [last.change_id])
            })
        }
        const costly: Array<unknown> = []
        for (const [name, statement] of Object.entries(statements)) {
          // What a session has read is counted together.
          const session = yield* TestDatabase.connect(database.url)
          const { fetched, sequential } = yield* session.transaction(
            Effect.gen(function* () {
              yield* session.run("SET LOCAL plan_cache_mode = force_generic_plan")
              yield* statement(session.run)
              return (yield* session.run(read))[0]
            }).pipe(Effect.orDie)
          )
          // A page has all records of its changes.
          const most = changes < length && name.includes("page") ? 3 * length : mostFetched
          if (sequential > 0 || fetched > most) costly.push([name, sequential, fetched])
        }
        assert.deepStrictEqual(costly, [])
      })
    )
  }
})

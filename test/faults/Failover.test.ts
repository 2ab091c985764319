import { assert, layer } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { ChangeHistory, Config } from "effect-systemplane"
import type * as FaultProxy from "../../dev/FaultProxy.ts"
import type * as PostgresServer from "../../dev/PostgresServer.ts"
import { Burst, Limit } from "../support/keys.ts"
import { collect, until } from "../support/Observe.ts"
import type { TestDatabase } from "../support/TestDatabase.ts"
import { OwnServer } from "./OwnServer.ts"
import * as ProxiedPlane from "./ProxiedPlane.ts"

const write = (database: TestDatabase, value: unknown) => database.write(Limit.namespace, Limit.key, value)

const nextEvent = (cursor: string | undefined) =>
  Effect.map(
    ChangeHistory.use((history) => Stream.runHead(history.since(cursor))),
    Option.getOrThrow
  )

/** Something happens, and a copy of the data from before it goes on in the server's place. The feed is still away. */
const loses = Effect.fnUntraced(function* <A, E, R>(
  happens: Effect.Effect<A, E, R>,
  server: PostgresServer.PostgresServer,
  proxy: FaultProxy.FaultProxy
) {
  const copy = yield* server.copy
  yield* ProxiedPlane.becomes("live")
  const lost = yield* happens
  yield* proxy.refuse
  yield* server.failOver(copy)
  yield* ProxiedPlane.becomes("disconnected", "stale")
  return lost
})

const wentBack = "The table went back to an earlier state; it is taken as it is"

layer(OwnServer.layer, { excludeTestServices: true, timeout: "60 seconds" })(
  "G1: a crash, after which an older copy of the data goes on in the server's place",
  (it) => {
    it.effect(
      "the plane takes the table as it is, and its status and one log line say so",
      () =>
        Effect.gen(function* () {
          const server = yield* OwnServer
          const warnings: Array<string> = []
          yield* ProxiedPlane.run(
            ({ acme }) =>
              Effect.gen(function* () {
                const kept = yield* write(acme, 5)
                yield* ProxiedPlane.seen(Limit, 5)
                const copy = yield* server.copy
                const changes = yield* collect(Config.changes(Limit))
                yield* until("told what was loaded", () => changes.length === 1)
                yield* write(acme, 7)
                yield* acme.write(Burst.namespace, Burst.key, 7)
                const lost = yield* write(acme, 8)
                yield* ProxiedPlane.seen(Limit, 8)
                yield* ProxiedPlane.seen(Burst, 7)
                assert.strictEqual(yield* ProxiedPlane.epoch, 0)

                yield* server.failOver(copy)
                yield* ProxiedPlane.seen(Limit, 5)
                yield* ProxiedPlane.becomes("live")
                assert.deepInclude(yield* Config.entry(Limit), { value: 5, revision: kept, stale: false })
                assert.deepInclude(yield* Config.entry(Burst), { value: 20, stale: false })
                assert.strictEqual(yield* ProxiedPlane.epoch, 1)

                // Life goes on below the revisions that were lost.
                const next = yield* write(acme, 9)
                assert.isBelow(next, lost)
                yield* ProxiedPlane.seen(Limit, 9)
                yield* until("heard of", () => changes.at(-1)?.value === 9)
                // 7 may have been skipped for 8; nothing else may be missing.
                assert.deepStrictEqual(
                  changes.map(({ value }) => value).filter((value) => value !== 7),
                  [5, 8, 5, 9]
                )
                assert.strictEqual(yield* ProxiedPlane.epoch, 1)
                assert.deepStrictEqual(
                  warnings.filter((warning) => warning === wentBack),
                  [wentBack]
                )
              }),
            { server: server.url("postgres"), warnings }
          )
        }),
      60_000
    )

    it.effect(
      "a row that was written with the triggers disabled, by a transaction whose id was lost and came again",
      () =>
        Effect.gen(function* () {
          const server = yield* OwnServer
          yield* ProxiedPlane.run(
            ({ acme, proxy }) =>
              Effect.gen(function* () {
                yield* write(acme, 5)
                yield* ProxiedPlane.seen(Limit, 5)
                const unrecorded = (value: number) =>
                  acme.run(
                    `WITH off AS MATERIALIZED (SELECT set_config('session_replication_role', 'replica', true))
                     UPDATE systemplane_entries AS e SET value = to_jsonb($2::int) FROM off WHERE e.key = $1
                     RETURNING e.xmin::text AS xmin, e.revision::text, e.updated_at::text`,
                    [Limit.key, value]
                  )
                const lost = yield* loses(Effect.tap(unrecorded(7), ProxiedPlane.seen(Limit, 7)), server, proxy)
                assert.deepStrictEqual(yield* unrecorded(8), lost)
                yield* proxy.pass
                yield* ProxiedPlane.seen(Limit, 8)
              }),
            { server: server.url("postgres") }
          )
        }),
      60_000
    )

    it.effect(
      "a copy that has caught up, with numbers drawn twice: its table is in force, and a cursor misses none of its changes",
      () =>
        Effect.gen(function* () {
          const server = yield* OwnServer
          yield* ProxiedPlane.run(
            ({ acme, proxy }) =>
              Effect.gen(function* () {
                yield* write(acme, 5)
                yield* ProxiedPlane.seen(Limit, 5)
                const kept = yield* nextEvent(undefined)
                const [lost, gone] = yield* loses(
                  Effect.all([Effect.tap(write(acme, 7), ProxiedPlane.seen(Limit, 7)), nextEvent(undefined)]),
                  server,
                  proxy
                )
                const again = yield* write(acme, 9)
                assert.strictEqual(again, lost)
                // More transactions, records and revisions than were lost.
                for (let i = 0; i < 20; i++) yield* acme.write(Burst.namespace, Burst.key, i)
                yield* proxy.pass
                yield* ProxiedPlane.becomes("live")
                assert.deepInclude(yield* Config.entry(Limit), { value: 9, revision: again, stale: false })
                assert.deepInclude(yield* Config.entry(Burst), { value: 19, stale: false })
                assert.strictEqual((yield* nextEvent(gone.cursor))._tag, "Reset")
                const since = yield* ChangeHistory.use((history) =>
                  Stream.runCollect(Stream.take(history.since(kept.cursor), 21))
                )
                assert.deepStrictEqual(
                  since.map((event) => (event._tag === "Change" ? event.change.records[0]?.value : event._tag)),
                  [9, ...Array.from({ length: 20 }, (_, i) => i)]
                )
                yield* write(acme, 10)
                yield* ProxiedPlane.seen(Limit, 10)
              }),
            { server: server.url("postgres") }
          )
        }),
      60_000
    )
  }
)

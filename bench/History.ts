/** What it costs to have every change on record: the same writes on a database with a history and on one without. */
import { Effect, Layer } from "effect"
import { Config, Ddl, PgConnector, SystemplaneReadThrough, withTenant } from "effect-systemplane"
import type Pg from "pg"
import * as Databases from "./Databases.ts"
import { gates } from "./gates.ts"
import { silent } from "./Planes.ts"
import * as Report from "./Report.ts"
import * as Rounds from "./Rounds.ts"
import { type Section, section } from "./Section.ts"
import { median, shuffled } from "./Statistics.ts"
import * as Workload from "./Workload.ts"

const names = ["recorded", "plain"] as const
type Name = (typeof names)[number]

/** Bytes of each record without its values. */
const selectBytes = `
  SELECT (pg_total_relation_size('systemplane_history') - sum(pg_column_size(value)) - coalesce(sum(pg_column_size(previous_value)), 0))::float8
    / count(*) AS bytes
  FROM systemplane_history`

const cost: Section = section(
  "every change on record",
  [gates.recordedWrite, gates.recordedBurst, gates.recordedBytes],
  Effect.fnUntraced(function* ({ quick }) {
    const count = 10_000
    const server = yield* Databases.server
    yield* Databases.create(server, ["recorded"], count)
    yield* Databases.create(server, ["plain"], count, Ddl.script({ history: false }))
    const clients: Record<Name, Pg.Client> = {
      recorded: yield* Databases.connect(server.url("recorded")),
      plain: yield* Databases.connect(server.url("plain"))
    }

    const bursts: Record<Name, Array<number>> = { recorded: [], plain: [] }
    for (let round = 1; round <= (quick ? 3 : 7); round++) {
      for (const name of shuffled(names)) {
        yield* Effect.promise(async () => {
          const started = performance.now()
          const { rowCount } = await clients[name].query("UPDATE systemplane_entries SET value = to_jsonb($1::int)", [
            round
          ])
          bursts[name].push((performance.now() - started) * 1e6)
          if (rowCount !== count) throw new Error(`${rowCount} rows were updated`)
          await clients[name].query("VACUUM systemplane_entries")
        })
      }
    }
    const { rows } = yield* Effect.promise(() => clients.recorded.query(selectBytes))
    const bytes: number = rows[0].bytes

    const { keys } = Workload.make(1, 1)
    const plane = yield* Layer.build(
      SystemplaneReadThrough({ keys }).pipe(
        Layer.provide([
          PgConnector.layerRecord({
            recorded: { url: server.url("recorded"), maxConnections: 1 },
            plain: { url: server.url("plain"), maxConnections: 1 }
          }),
          silent
        ])
      )
    )
    const writes = 20
    const write = (name: Name) => ({
      name,
      operations: writes,
      expected: (writes * (writes - 1)) / 2,
      run: () =>
        Effect.gen(function* () {
          let sum = 0
          for (let i = 0; i < writes; i++) sum += (yield* Config.set(keys[0]!, i, { actor: "bench" })).value
          return sum
        }).pipe(withTenant(name), Effect.provide(plane), Effect.runPromise)
    })
    const { plain, recorded } = yield* Effect.promise(() =>
      Rounds.measure(names.map(write), { rounds: quick ? 20 : 60, batch: 20, warmUp: quick ? 200 : 1000 })
    )
    const [recordedBurst, plainBurst] = [median(bursts.recorded), median(bursts.plain)]
    const sides = (recorded: number, plain: number) =>
      `on record ${Report.duration(recorded)}, without a history ${Report.duration(plain)}`
    return [
      Report.row(gates.recordedWrite, recorded! / plain!, sides(recorded!, plain!)),
      Report.row(gates.recordedBurst, recordedBurst / plainBurst, sides(recordedBurst, plainBurst)),
      Report.row(
        gates.recordedBytes,
        bytes / 400,
        `${bytes.toFixed(0)} bytes, of ${bursts.recorded.length * count} records`
      )
    ]
  })
)

export const sections: ReadonlyArray<Section> = [cost]

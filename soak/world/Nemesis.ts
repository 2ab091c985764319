/**
 * The nemesis: it breaks the network, the server and the processes in one way after another, with calm between them.
 */
import { Clock, Effect, Random } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { PostgresNotStarted } from "../../dev/PostgresServer.ts"
import { oneOf, weighted } from "../workload/Client.ts"
import type { Tenant, Way, World } from "./World.ts"

/** A fault, and from when until when it lasted, in milliseconds. */
export interface Fault {
  readonly what: string
  /** The plane that it concerned; `undefined` if all of them. */
  readonly plane: string | undefined
  readonly from: number
  readonly until: number
}

/** A process that holds planes. */
export interface Process {
  readonly freeze: (millis: number) => Effect.Effect<void>
}

/** Milliseconds of calm between two faults, and how long one lasts. */
const calm = [1500, 5000] as const
const lasting = [300, 9000] as const

/** Goes on until interrupted, and then mends what is broken. */
export const run = (world: World, processes: ReadonlyArray<Process>, note: (fault: Fault) => void) =>
  Effect.forever(
    Effect.gen(function* () {
      yield* Effect.sleep(yield* Random.nextBetween(...calm))
      const way = yield* oneOf(world.ways)
      const [what, plane, fault] = yield* weighted(possible(world, way, yield* oneOf(processes)))
      const from = yield* Clock.currentTimeMillis
      yield* fault
      note({ what, plane, from, until: yield* Clock.currentTimeMillis })
    })
  )

const possible = (
  world: World,
  way: Way,
  process: Process
): ReadonlyArray<
  readonly [number, readonly [string, string | undefined, Effect.Effect<unknown, PostgresNotStarted | SqlError>]]
> => [
  [3, ["connections are cut", way.plane, way.proxy.cut]],
  [3, ["connections are cut, new ones refused", way.plane, lastingly(way, [way.proxy.refuse, way.proxy.cut])]],
  [3, ["everything falls into a black hole", way.plane, lastingly(way, [way.proxy.blackHole])]],
  [1, ["open connections fall silent", way.plane, way.proxy.lose()]],
  [1, ["answers get lost", way.plane, way.proxy.lose("toClient")]],
  [2, ["everything takes 200 ms longer", way.plane, lastingly(way, [way.proxy.delay("200 millis")])]],
  [1, ["everything trickles", way.plane, lastingly(way, [way.proxy.trickle(slowly)])]],
  [2, ["everything takes 20 ms longer", way.plane, lastingly(way, [way.proxy.delay("20 millis")])]],
  [1, ["a narrow link", way.plane, lastingly(way, [way.proxy.trickle(narrowly)])]],
  [3, ["tables are locked", undefined, lock(world)]],
  [2, ["a process is frozen", undefined, Effect.flatMap(Random.nextBetween(...lasting), process.freeze)]],
  [2, ["a password is changed", way.plane, Effect.andThen(way.rotatePassword, way.proxy.cut)]],
  [3, ["listeners are terminated", undefined, terminate(world, "effect-systemplane listen")]],
  [2, ["all sessions are terminated", undefined, terminate(world, "effect-systemplane%")]],
  [1, ["the server is restarted", undefined, world.server.restart("fast")]],
  [1, ["the server crashes", undefined, world.server.restart("immediate")]]
]

const lastingly = (way: Way, begin: ReadonlyArray<Effect.Effect<void>>) =>
  Effect.ensuring(
    Effect.andThen(
      Effect.all(begin, { discard: true }),
      Effect.flatMap(Random.nextBetween(...lasting), (millis) => Effect.sleep(millis))
    ),
    Effect.all([way.proxy.pass, way.proxy.delay(0), way.proxy.trickle(undefined)], { discard: true })
  )

const slowly = { bytes: 100, every: "20 millis" } as const
const narrowly = { bytes: 4000, every: "50 millis" } as const

/** Exclusively, for seconds, on about half of the tenants: nothing can be read or written meanwhile. */
const lock = ({ tenants }: World) =>
  Effect.gen(function* () {
    const chosen = yield* Effect.filter(tenants, (_: Tenant) => Random.nextBoolean)
    const millis = yield* Random.nextBetween(...lasting)
    const table = yield* oneOf(["systemplane_entries", "systemplane_entries", "systemplane_history"])
    yield* Effect.forEach(
      chosen,
      ({ database }) =>
        Effect.exit(
          database.transaction(
            Effect.andThen(
              database.run(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`),
              database.run("SELECT pg_sleep($1::float8)", [millis / 1000])
            )
          )
        ),
      { concurrency: "unbounded", discard: true }
    )
  })

/** Of about half of the tenants. */
const terminate = ({ admin, tenants }: World, application: string) =>
  Effect.gen(function* () {
    const chosen = yield* Effect.filter(tenants, (_: Tenant) => Random.nextBoolean)
    yield* Effect.ignore(
      admin.run(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = ANY (string_to_array($1, ',')) AND application_name LIKE $2`,
        [chosen.map(({ name }) => name).join(","), application]
      )
    )
  })

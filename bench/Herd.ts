/**
 * The herd path: many tenants at once, each with a database and a session of its own, beside the driver that the plane
 * is built on doing the least that such a herd needs.
 */
import { Effect, Layer, Redacted, type Scope } from "effect"
import { Config, KeyRegistry, PgConnector, SystemplaneLive, TenantManager, withTenant } from "effect-systemplane"
import type * as PostgresServer from "../dev/PostgresServer.ts"
import { eventually } from "../test/support/TestDatabase.ts"
import * as Databases from "./Databases.ts"
import { type Gate, gates } from "./gates.ts"
import { silent } from "./Planes.ts"
import * as BareDriver from "./peers/BareDriver.ts"
import * as Report from "./Report.ts"
import { type Section, section } from "./Section.ts"
import { median, shuffled } from "./Statistics.ts"
import * as Workload from "./Workload.ts"

type Options = Parameters<typeof SystemplaneLive>[0]

/** How many are brought up at once, by the plane and by the bare driver. */
const concurrency = 8

/**
 * Reconnecting soon, so that the figure tells of the work and not of the default back-off, which spreads a herd on
 * purpose.
 */
const reconnect = { base: "50 millis", cap: "250 millis" } as const

const namesOf = (quick: boolean) => Array.from({ length: quick ? 50 : 200 }, (_, i) => `herd_${i}`)

const roundsOf = (quick: boolean) => (quick ? 2 : 7)

const planeOn = (url: Redacted.Redacted, options: Options) =>
  Layer.build(
    SystemplaneLive({ reconnect, maxConcurrentActivations: concurrency, ...options }).pipe(
      Layer.provide([PgConnector.layerTemplate({ url }), silent])
    )
  )

const templateOf = (server: PostgresServer.PostgresServer) =>
  Redacted.make(Redacted.value(server.url("{tenant}")).replace("%7Btenant%7D", "{tenant}"))

const activateAll = (tenants: ReadonlyArray<string>) =>
  Effect.forEach(tenants, (tenant) => TenantManager.use((manager) => manager.activate(tenant)), {
    concurrency: "unbounded",
    discard: true
  })

type Asks = (session: BareDriver.Session) => Effect.Effect<ReadonlyArray<unknown>, unknown>

/** The least that any program would ask: whether the schema is there, and the rows. */
const askTheLeast: Asks = (session) => Effect.andThen(session.check, session.selectAll)

/** Connects, listens and asks, for each database. */
const connectAll = (server: PostgresServer.PostgresServer, names: ReadonlyArray<string>, ask: Asks = askTheLeast) =>
  Effect.forEach(names, (name) => Effect.flatMap(BareDriver.session(server.url(name)), ask), { concurrency })

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    // So that no contender pays for the garbage of the turn before, nor for what was built to take this one.
    globalThis.gc?.()
    const started = performance.now()
    return Effect.map(effect, () => (performance.now() - started) * 1e6)
  })

type Turn = Effect.Effect<number, unknown, Scope.Scope>

interface TenantLimiter {
  readonly ours: Turn
  readonly bare: Turn
  /** The bare driver, if it asks what the plane asks. */
  readonly asking?: Turn
}

/**
 * Runs all in random order, round after round, in a scope each, and returns the medians. The first round is a warm-up.
 */
const takeTurns = Effect.fnUntraced(function* (turns: TenantLimiter, rounds: number) {
  const samples = { ours: [] as Array<number>, bare: [] as Array<number>, asking: [] as Array<number> }
  for (let round = 0; round <= rounds; round++) {
    for (const name of shuffled(["ours", "bare", "asking"] as const)) {
      const turn = turns[name]
      if (turn === undefined) continue
      const elapsed = yield* Effect.scoped(turn)
      if (round > 0) samples[name].push(elapsed)
    }
  }
  return { ours: median(samples.ours), bare: median(samples.bare), asking: turns.asking && median(samples.asking) }
})

/** A server with the databases of a herd, each with the rows of its keys. */
const herd = Effect.fnUntraced(function* (names: ReadonlyArray<string>, keyCount: number) {
  const { keys } = Workload.make(1, keyCount)
  const server = yield* Databases.server
  yield* Databases.create(server, names, keys.length)
  return { keys, server }
})

/** Compares both over a number of rounds. */
const contest = Effect.fnUntraced(function* (gate: Gate, turns: TenantLimiter, tenants: number, rounds: number) {
  const { asking, bare, ours } = yield* takeTurns(turns, rounds)
  const floor = asking === undefined ? "" : `, asking what the plane asks ${Report.duration(asking)}`
  const sides = `${tenants === 1 ? "one tenant" : `${tenants} tenants`}: ours ${Report.duration(ours)}, bare driver ${Report.duration(bare)}${floor}`
  return [Report.row(gate, ours / bare, sides, asking && asking / bare)]
})

/** Bringing tenants up whose databases are prepared, as the bare driver does with the least that this takes. */
const activate = Effect.fnUntraced(function* (
  gate: Gate,
  options: Partial<Options>,
  names: ReadonlyArray<string>,
  keyCount: number,
  rounds: number
) {
  const { keys, server } = yield* herd(names, keyCount)
  const { seeds } = yield* KeyRegistry.make(keys)
  const ours = Effect.gen(function* () {
    const plane = yield* planeOn(templateOf(server), { keys, ...options })
    const elapsed = yield* timed(Effect.provide(activateAll(names), plane))
    // That of the last one, the seventh of its keys: the number of the key.
    const value = yield* Config.get(keys[7]!).pipe(withTenant(names.at(-1)!), Effect.provide(plane))
    return value === 7 ? elapsed : yield* Effect.die(new Error("an activated tenant answers wrongly"))
  })
  const driver = Effect.fnUntraced(function* (ask: Asks) {
    let rows = 0
    const elapsed = yield* timed(
      Effect.tap(connectAll(server, names, ask), (read) =>
        Effect.sync(() => {
          rows = read.flat().length
        })
      )
    )
    return rows === names.length * keys.length
      ? elapsed
      : yield* Effect.die(new Error("the bare driver read too little"))
  })
  const bare = driver(askTheLeast)
  const asking = driver((session) =>
    options.bootstrap === "skip" ? session.proved(keys) : session.prepare(keys, seeds)
  )
  return yield* contest(gate, { ours, bare, asking }, names.length, rounds)
})

const load: Section = section("first load of 10,000 rows", [gates.load], ({ quick }) =>
  activate(gates.load, { bootstrap: "skip", seedDefaults: false }, ["load"], 10_000, quick ? 15 : 61)
)

const activation: Section = section("activation of a herd", [gates.activation], ({ quick }) =>
  activate(gates.activation, {}, namesOf(quick), 50, roundsOf(quick))
)

const recovery: Section = section(
  "recovery of a herd",
  [gates.recovery],
  Effect.fnUntraced(function* ({ quick }) {
    const names = namesOf(quick)
    const { keys, server } = yield* herd(names, 50)

    const ours = Effect.gen(function* () {
      const plane = yield* planeOn(templateOf(server), { keys, bootstrap: "skip", seedDefaults: false })
      return yield* Effect.gen(function* () {
        yield* activateAll(names)
        const manager = yield* TenantManager
        yield* server.stop("fast")
        yield* eventually(
          "every tenant has noticed",
          Effect.map(manager.statuses, (statuses) => statuses.every(({ state }) => state !== "live"))
        )
        yield* server.start
        return yield* timed(Effect.forEach(names, manager.awaitLive, { concurrency: "unbounded", discard: true }))
      }).pipe(Effect.provide(plane))
    })
    const bare = Effect.gen(function* () {
      yield* Effect.scoped(Effect.andThen(connectAll(server, names), server.stop("fast")))
      yield* server.start
      return yield* timed(connectAll(server, names))
    })
    return yield* contest(gates.recovery, { ours, bare }, names.length, roundsOf(quick))
  })
)

export const sections: ReadonlyArray<Section> = [load, activation, recovery]

/**
 * The soak: planes in two processes on the same tenants, strangers who write beside them, a network and a server that fail,
 * and a judge who knows from each tenant's journal what was committed when.
 */
import { Clock, Effect, Fiber, Random } from "effect"
import * as Conditions from "./checks/Conditions.ts"
import * as Convergence from "./checks/Convergence.ts"
import * as Violations from "./checks/Violations.ts"
import * as Hosts from "./Hosts.ts"
import * as keys from "./keys.ts"
import type { Command, Final, HostSettings, Interlude } from "./Messages.ts"
import * as Trial from "./Run.ts"
import type { Result } from "./report.ts"
import * as strangers from "./world/foreignWriters.ts"
import * as Faults from "./world/nemesis.ts"
import * as World from "./world/World.ts"
import * as wire from "./world/wire.ts"

export interface SoakOptions {
  readonly minutes: number
  readonly tenants: number
  readonly seed: string
}

/** Two planes in one process, and one in another. */
const hosts = [["plane-a", "plane-b"], ["plane-c"]] as const

/** The bound on staleness, in milliseconds: short, so that a minute shows much. */
const maxStaleness = 6000

/** Pauses in milliseconds, over all tenants of a plane; for strangers over all tenants. */
const pauses = { reads: 10, writes: 100, lifecycle: 1500, strangers: 25 }

/**
 * When all is mended, a session is back after at most the cap of back-off, and one verification later everything is known. Twice
 * that, for a busy machine.
 */
const settlingTime = 2 * (maxStaleness + 2000)

export const run = Effect.fnUntraced(function* (options: SoakOptions, command: string) {
  const violations = Violations.make()
  const interludes: Array<Interlude> = []
  const faults: Array<Faults.Fault> = []
  let notifications = 0

  yield* Effect.log("Starting a server, and preparing the tenants' databases")
  const world = yield* World.make(options.tenants, hosts.flat())
  const trial = Trial.make(world, maxStaleness, violations)
  const seeded = (name: string) => Random.withSeed(`${options.seed}/${name}`)

  yield* Effect.log("Starting the planes")
  const started = yield* Effect.forEach(
    hosts,
    (planes) =>
      Hosts.start(hostSettings(world, planes, options), (reports, more) => {
        trial.hear(reports)
        for (const interlude of more) interludes.push(interlude)
      }),
    { concurrency: "unbounded" }
  )
  const askAll = <Tag extends Parameters<Hosts.Host["ask"]>[1]>(command: Command, tag: Tag) =>
    Effect.forEach(started, ({ host }) => host.ask(command, tag), { concurrency: "unbounded" })

  yield* Effect.log(`Writing, reading and breaking things for ${options.minutes} minutes`)
  const judging = yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep("1 second"), trial.sitting)))
  for (const tenant of world.tenants) {
    yield* Effect.forkScoped(
      wire.run(tenant, (problem) => {
        notifications++
        if (problem !== undefined) violations.add({ check: "brokeWire", what: problem, tenant: tenant.name })
      })
    )
  }
  const writing = yield* Effect.forkChild(
    Effect.forEach(
      world.tenants,
      ({ database, name }) =>
        seeded(`${name} strangers`)(strangers.run(name, database, pauses.strangers * world.tenants.length)),
      { concurrency: "unbounded" }
    )
  )
  const breaking = yield* Effect.forkChild(seeded("faults")(Faults.run(world, (fault) => faults.push(fault))))
  yield* Effect.raceAllFirst([
    Effect.sleep(`${options.minutes} minutes`),
    // None of them ends by itself.
    ...started.map(({ host }) => host.ended),
    ...[judging, writing, breaking].map((fiber) => Fiber.join<unknown, unknown>(fiber))
  ])

  yield* Effect.log("Mending everything, and waiting for the planes to equal the databases")
  yield* Fiber.interrupt(breaking)
  yield* Fiber.interrupt(writing)
  const quiet = yield* askAll({ _tag: "StopWriting" }, "Quiet")
  yield* expectConvergence(world, trial, violations, askAll({ _tag: "ReadAll" }, "All"))
  yield* expectHeard(world, trial, violations, askAll({ _tag: "ReadAll" }, "All"))

  yield* Effect.log("Closing the planes")
  const closed = yield* askAll({ _tag: "Close" }, "Closed")
  yield* Fiber.interrupt(judging)
  yield* trial.sitting
  const left = {
    sessions: yield* sessionsLeft(world),
    sockets: closed.reduce((sum, { sockets }) => sum + sockets, 0),
    fibers: closed.reduce((sum, { fibers }) => sum + fibers, 0)
  }
  if (left.sessions + left.sockets + left.fibers > 0) {
    violations.add({ check: "brokeLeaks", what: `${JSON.stringify(left)} were left when all planes had closed` })
  }
  const result: Result = {
    command,
    violations,
    convergence: Conditions.sort(trial.arrivals, faults, interludes),
    counts: trial.counts(),
    faults,
    interludes: interludes.length,
    notifications,
    memory: started.map(({ heap }, i) => ({ host: hosts[i]!.join(" and "), begin: heap, end: quiet[i]!.heap })),
    left
  }
  return result
})

const hostSettings = (world: World.World, planes: ReadonlyArray<string>, { seed }: SoakOptions): HostSettings => ({
  seed,
  planes: world.ways
    .filter(({ plane }) => planes.includes(plane))
    .map(({ plane, urlTemplate }) => ({ name: plane, urlTemplate })),
  tenants: world.tenants.map(({ name }) => name),
  maxStaleness,
  pauses
})

type ReadAll = Effect.Effect<
  ReadonlyArray<{ readonly entries: ReadonlyArray<Final>; readonly notLive: ReadonlyArray<string> }>,
  Hosts.HostEnded
>

/** Asks until nothing is wrong or the time is up; then what is still wrong is broken. */
const until = (
  trial: Trial.Trial,
  deadline: number,
  readAll: ReadAll,
  problems: (all: Effect.Success<ReadAll>) => ReadonlyArray<Violations.Violation>
) =>
  Effect.gen(function* () {
    const until = (yield* Clock.currentTimeMillis) + deadline
    while (true) {
      const all = yield* readAll
      yield* trial.sitting
      const found = problems(all)
      if (found.length === 0 || (yield* Clock.currentTimeMillis) > until) return found
      yield* Effect.sleep("100 millis")
    }
  })

const expectConvergence = (
  world: World.World,
  trial: Trial.Trial,
  violations: Violations.Violations,
  readAll: ReadAll
) =>
  Effect.gen(function* () {
    const expected = hosts.flat().length * world.tenants.length * keys.all.length
    const found = yield* until(trial, settlingTime, readAll, (all) => {
      const entries = all.flatMap(({ entries }) => entries)
      const wrong = entries.flatMap((shown): ReadonlyArray<Violations.Violation> => {
        const what = Convergence.problemOf(shown, trial.judgeOf(shown.tenant).history(shown.key))
        return what === undefined ? [] : [{ check: "brokeConvergence", what, tenant: shown.tenant, key: shown.key }]
      })
      const notLive = all.flatMap(({ notLive }) => notLive)
      const unanswered =
        entries.length === expected
          ? []
          : [{ check: "brokeConvergence", what: `${expected - entries.length} keys could not be read` } as const]
      return [...wrong, ...unanswered, ...notLive.map((what) => ({ check: "brokeRecovery", what }) as const)]
    })
    for (const violation of found) violations.add(violation)
  })

/** One last write to every key, of which every subscriber must hear. */
const expectHeard = (world: World.World, trial: Trial.Trial, violations: Violations.Violations, readAll: ReadAll) =>
  Effect.gen(function* () {
    yield* Effect.forEach(world.tenants, ({ database, name }) => strangers.writeLast(database, name), {
      concurrency: 4
    })
    const found = yield* until(trial, settlingTime, readAll, (all) =>
      all
        .flatMap(({ entries }) => entries)
        .flatMap((shown): ReadonlyArray<Violations.Violation> => {
          const what = Convergence.unheard(shown, trial.judgeOf(shown.tenant).history(shown.key))
          return what === undefined ? [] : [{ check: "brokeSubscribers", what, tenant: shown.tenant, key: shown.key }]
        })
    )
    for (const violation of found) violations.add(violation)
  })

/** Sessions of planes that the server still has. It never heard that those in a black hole were closed: the proxy tells it. */
const sessionsLeft = ({ admin, ways }: World.World) =>
  Effect.gen(function* () {
    yield* Effect.sleep("1 second")
    yield* Effect.forEach(ways, ({ proxy }) => proxy.cutDeserted)
    yield* Effect.sleep("1 second")
    const rows = yield* admin.run(
      "SELECT count(*)::int AS count FROM pg_stat_activity WHERE usename = ANY (string_to_array($1, ','))",
      [ways.map(({ plane }) => plane).join(",")]
    )
    return rows[0].count as number
  })

/**
 * The soak: planes in two processes on the same tenants, under a workload, beside foreign writers, while a nemesis
 * breaks the network and the server. A checker holds what the planes showed against each tenant's journal, which says
 * what was committed when. At the end everything is mended: every plane must equal the databases, every subscriber must
 * have seen the last value, and closing must leave nothing behind.
 */
import { Clock, Effect, Fiber, Random } from "effect"
import * as Conditions from "./checks/Conditions.ts"
import * as Convergence from "./checks/Convergence.ts"
import * as Record from "./checks/Record.ts"
import * as Violations from "./checks/Violations.ts"
import * as Hosts from "./Hosts.ts"
import * as Keys from "./Keys.ts"
import type { Command, Final, HostSettings, Intervention } from "./Messages.ts"
import * as Run from "./Run.ts"
import type { Result } from "./Summary.ts"
import * as ForeignWriters from "./world/ForeignWriters.ts"
import * as Nemesis from "./world/Nemesis.ts"
import * as Notifications from "./world/Notifications.ts"
import * as RecordReader from "./world/RecordReader.ts"
import * as Remaking from "./world/Remaking.ts"
import * as World from "./world/World.ts"

export interface SoakOptions {
  readonly minutes: number
  readonly tenants: number
  readonly seed: string
  /** A trigger to drop in all databases until the writers stop, to see that a check finds what is missing. */
  readonly dropTrigger: string | undefined
}

/** Two planes in one process, and one in another. */
const hosts = [["plane-a", "plane-b"], ["plane-c"]] as const

/** The bound on staleness, in milliseconds: short, so that a minute shows much. */
const maxStaleness = 6000

/**
 * By how much a heap may grow, in bytes: caches that fill up to their bounds, and compiled code. What grows with each
 * operation passes it within minutes.
 */
const mostGrowth = 64 * 2 ** 20

/** Average pauses in milliseconds: over all tenants of a plane, and for foreign writes over all tenants. */
const pauses = { reads: 10, writes: 100, lifecycle: 1500, foreignWrites: 25, strangers: 1000 }

/**
 * After the last fault is mended, a session is back within the cap of the back-off, and one verification later the
 * plane equals the table. Ten times that, since a machine may be busy; what comes sooner ends the wait.
 */
const convergenceTime = 10 * (maxStaleness + 2000)

export const run = Effect.fnUntraced(function* (options: SoakOptions, command: string) {
  const violations = Violations.make()
  const interventions: Array<Intervention> = []
  const faults: Array<Nemesis.Fault> = []
  const foreign: ForeignWriters.Tally = new Map()
  const remade = new Map<string, number>()
  let notifications = 0

  yield* Effect.log("Starting a server, and preparing the tenants' databases")
  const world = yield* World.make(options.tenants, hosts.flat())
  const run = Run.make(world, maxStaleness, violations)
  const seeded = (name: string) => Random.withSeed(`${options.seed}/${name}`)

  yield* Effect.log("Starting the planes")
  const started = yield* Effect.forEach(
    hosts,
    (planes) =>
      Hosts.start(hostSettings(world, planes, options), (reports, more) => {
        run.record(reports)
        for (const intervention of more) interventions.push(intervention)
      }),
    { concurrency: "unbounded" }
  )
  const askAll = <Tag extends Parameters<Hosts.Host["ask"]>[1]>(command: Command, tag: Tag) =>
    Effect.forEach(started, ({ host }) => host.ask(command, tag), { concurrency: "unbounded" })

  if (options.dropTrigger !== undefined) {
    for (const { database } of world.tenants) {
      yield* database.run(`DROP TRIGGER ${options.dropTrigger} ON systemplane_entries`)
    }
  }
  yield* Effect.log(`Running the workload and the nemesis for ${options.minutes} minutes`)
  const checking = yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep("1 second"), run.check)))
  for (const tenant of world.tenants) {
    yield* Effect.forkScoped(
      Notifications.run(tenant, (problem) => {
        notifications++
        if (problem !== undefined) violations.add({ check: "brokeNotification", what: problem, tenant: tenant.name })
      })
    )
  }
  const writing = yield* Effect.forkChild(
    Effect.forEach(
      world.tenants,
      ({ database, name }) =>
        seeded(`${name} foreign writes`)(
          ForeignWriters.run(name, database, pauses.foreignWrites * world.tenants.length, foreign)
        ),
      { concurrency: "unbounded" }
    )
  )
  const breaking = yield* Effect.forkChild(
    seeded("faults")(
      Nemesis.run(
        world,
        started.map(({ host }) => host),
        (fault) => faults.push(fault)
      )
    )
  )
  const remaking = yield* Effect.forkChild(
    seeded("remaking")(Remaking.run(world.admin, world.remade, (what) => remade.set(what, (remade.get(what) ?? 0) + 1)))
  )
  yield* Effect.raceAllFirst([
    Effect.sleep(`${options.minutes} minutes`),
    // None of these ends by itself: an end is a defect, and fails the soak.
    ...started.map(({ host }) => host.ended),
    ...[checking, writing, breaking, remaking].map((fiber) => Fiber.join<unknown, unknown>(fiber))
  ])

  yield* Effect.log("Mending everything, and waiting for the planes to equal the databases")
  yield* Fiber.interrupt(breaking)
  yield* Fiber.interrupt(writing)
  yield* Fiber.interrupt(remaking)
  // A plane that may not mend the schema stays away from it until then.
  if (options.dropTrigger !== undefined) yield* Effect.forEach(world.tenants, World.restore)
  yield* Remaking.settle(world.admin, world.remade)
  const quiet = yield* askAll({ _tag: "StopWriting" }, "Quiet")
  yield* expectConvergence(world, run, violations, askAll({ _tag: "ReadAll" }, "All"))
  yield* expectDelivered(world, run, violations, askAll({ _tag: "ReadAll" }, "All"))

  const records = yield* expectRecorded(world, violations)

  yield* Effect.log("Closing the planes")
  const closed = yield* askAll({ _tag: "Close" }, "Closed")
  yield* Fiber.interrupt(checking)
  yield* run.check
  const left = {
    sessions: yield* sessionsLeft(world),
    sockets: closed.reduce((sum, { sockets }) => sum + sockets, 0),
    fibers: closed.reduce((sum, { fibers }) => sum + fibers, 0)
  }
  if (left.sessions + left.sockets + left.fibers > 0) {
    violations.add({ check: "brokeLeaks", what: `${JSON.stringify(left)} were left when all planes had closed` })
  }
  const memory = started.map(({ heap }, i) => ({ host: hosts[i]!.join(" and "), begin: heap, end: quiet[i]!.heap }))
  for (const { begin, end, host } of memory) {
    if (end - begin > mostGrowth) {
      violations.add({
        check: "brokeLeaks",
        what: `the heap of ${host} grew by ${Math.round((end - begin) / 2 ** 20)} MiB`
      })
    }
  }
  const result: Result = {
    command,
    violations,
    convergence: Conditions.sort(run.arrivals, faults, interventions),
    counts: run.counts(),
    faults,
    interventions: interventions.length,
    notifications,
    foreign,
    remade,
    records,
    memory,
    left
  }
  return result
})

const hostSettings = (world: World.World, planes: ReadonlyArray<string>, { seed }: SoakOptions): HostSettings => ({
  seed,
  planes: world.ways
    .filter(({ plane }) => planes.includes(plane))
    .map(({ passwordFile, plane, urlTemplate }) => ({ name: plane, urlTemplate, passwordFile })),
  tenants: world.tenants.map(({ name }) => name),
  remade: world.remade.map(({ name }) => name),
  jumping: planes.includes(hosts[1][0]),
  maxStaleness,
  pauses
})

type ReadAll = Effect.Effect<
  ReadonlyArray<{ readonly entries: ReadonlyArray<Final>; readonly notLive: ReadonlyArray<string> }>,
  Hosts.HostEnded
>

/** Reads and checks again until no problem is left or the deadline has passed, and returns what is left. */
const until = (
  run: Run.Run,
  deadline: number,
  readAll: ReadAll,
  problems: (all: Effect.Success<ReadAll>) => ReadonlyArray<Violations.Violation>
) =>
  Effect.gen(function* () {
    const until = (yield* Clock.currentTimeMillis) + deadline
    while (true) {
      const all = yield* readAll
      yield* run.check
      const found = problems(all)
      if (found.length === 0 || (yield* Clock.currentTimeMillis) > until) return found
      yield* Effect.sleep("100 millis")
    }
  })

const expectConvergence = (world: World.World, run: Run.Run, violations: Violations.Violations, readAll: ReadAll) =>
  Effect.gen(function* () {
    const expected = hosts.flat().length * world.tenants.length * Keys.all.length
    const found = yield* until(run, convergenceTime, readAll, (all) => {
      const entries = all.flatMap(({ entries }) => entries)
      const wrong = entries.flatMap((shown): ReadonlyArray<Violations.Violation> => {
        const what = Convergence.problemOf(shown, run.checkerOf(shown.tenant).history(shown.key))
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

/** Writes every key once more; every subscriber must be told. */
const expectDelivered = (world: World.World, run: Run.Run, violations: Violations.Violations, readAll: ReadAll) =>
  Effect.gen(function* () {
    yield* Effect.forEach(world.tenants, ({ database, name }) => ForeignWriters.writeLast(database, name), {
      concurrency: 4
    })
    const found = yield* until(run, convergenceTime, readAll, (all) =>
      all
        .flatMap(({ entries }) => entries)
        .flatMap((shown): ReadonlyArray<Violations.Violation> => {
          const what = Convergence.undelivered(shown, run.checkerOf(shown.tenant).history(shown.key))
          return what === undefined ? [] : [{ check: "brokeSubscribers", what, tenant: shown.tenant, key: shown.key }]
        })
    )
    for (const violation of found) violations.add(violation)
  })

/**
 * Every change is in the history, once. What was written in silence is there after a verification of any plane.
 * Returns how many records there are.
 */
const expectRecorded = (world: World.World, violations: Violations.Violations) =>
  Effect.gen(function* () {
    const until = (yield* Clock.currentTimeMillis) + convergenceTime
    const recordedIn = ({ database, name }: World.Tenant) =>
      Effect.gen(function* () {
        while (true) {
          const kept = yield* RecordReader.read(database)
          const problems = Record.problemsOf(kept)
          if (problems.length === 0 || (yield* Clock.currentTimeMillis) > until) {
            for (const problem of problems) violations.add({ check: "brokeRecord", tenant: name, ...problem })
            return kept.records.length
          }
          yield* Effect.sleep("500 millis")
        }
      })
    const counts = yield* Effect.forEach(world.tenants, recordedIn, { concurrency: 4 })
    return counts.reduce((sum, count) => sum + count, 0)
  })

/**
 * The sessions of planes that the server still has. The server cannot know that a session behind a black hole was
 * closed, so the proxy cuts the connections that only it still holds.
 */
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

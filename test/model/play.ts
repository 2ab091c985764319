/**
 * Plays a history to the real engine, on memory and under the test's clock, and checkers it as the soak does: against
 * every version that the tables ever had.
 */
import { Effect, Exit, type Fiber, Layer, Option, Random, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Config, TenantManager, withTenant } from "effect-systemplane"
import { MemoryDriver, type MemoryTenant } from "effect-systemplane/testing"
import * as Checker from "../../soak/checks/Checker.ts"
import * as Convergence from "../../soak/checks/Convergence.ts"
import type { Violation } from "../../soak/checks/Violations.ts"
import * as Keys from "../../soak/Keys.ts"
import type { Seen } from "../../soak/Messages.ts"
import type { Client } from "../../soak/workload/Client.ts"
import * as Lifecycle from "../../soak/workload/Lifecycle.ts"
import * as Readers from "../../soak/workload/Readers.ts"
import * as Recorder from "../../soak/workload/Recorder.ts"
import * as Subscribers from "../../soak/workload/Subscribers.ts"
import * as Writers from "../../soak/workload/Writers.ts"
import * as Engine from "../../src/layers/Engine.ts"
import * as MemoryDatabases from "../../src/layers/memory/MemoryDatabases.ts"
import { backend } from "../../src/layers/SystemplaneMemory.ts"
import { silent } from "../support/TestPlane.ts"
import { type Command, tenants } from "./Commands.ts"
import * as Ledger from "./Ledger.ts"

const plane = "plane"
const maxStaleness = 3000

/** The keys that are written one by one. */
const single = [Keys.Rough, Keys.Guarded]
const stranger = { actor: "foreign" }

const planeLayer = (ledger: ReturnType<typeof Ledger.keep>) =>
  Engine.layer(
    {
      keys: Keys.all,
      tenants,
      boot: "background",
      activation: "explicit",
      maxStaleness,
      reconnect: { base: 100, cap: 1000 }
    },
    Option.none(),
    () => backend
  ).pipe(
    Layer.provide(Layer.effectDiscard(ledger)),
    Layer.provideMerge(MemoryDatabases.layer({ sole: Option.none(), beside: undefined })),
    Layer.provide(silent)
  )

/** What broke; nothing, it is to be hoped. */
export const play = (history: ReadonlyArray<Command>): Promise<ReadonlyArray<Violation>> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const broken: Array<Violation> = []
      const checkers = new Map(
        tenants.map((tenant) => [
          tenant as string,
          Checker.make({ tenant, maxStaleness, tolerance: 1, broken: (one) => broken.push(one), arrived: () => {} })
        ])
      )
      const ledger = Ledger.keep(tenants, (tenant, rows) => checkers.get(tenant)!.committed(rows))
      const recorder = Recorder.make()
      const client: Client = { plane, tenants, recorder }
      const heard: Subscribers.Heard = new Map()
      const scope = yield* Scope.make()

      yield* Effect.gen(function* () {
        yield* Scope.provide(Subscribers.subscribe(client, heard), scope)
        const world = yield* makeWorld(client)
        for (const command of history) {
          yield* world.act(command)
          yield* TestClock.adjust(0)
          for (const report of recorder.take().reports) checkers.get(report.tenant!)!.check(report)
        }
        broken.push(...(yield* world.settle))
        for (const report of recorder.take().reports) checkers.get(report.tenant!)!.check(report)
        broken.push(...(yield* lastWord(world, checkers, heard)))
      }).pipe(Effect.provide(yield* Layer.build(planeLayer(ledger)).pipe(Scope.provide(scope))))
      yield* Scope.close(scope, Exit.void)
      return broken
    }).pipe(Random.withSeed("a history"), Effect.provide([TestClock.layer(), silent]), Effect.scoped)
  )

const makeWorld = Effect.fnUntraced(function* (client: Client) {
  const manager = yield* TenantManager
  const databases = yield* Effect.orDie(Effect.forEach(tenants, (tenant) => MemoryDriver.tenant(tenant)))
  const underWay: Array<Fiber.Fiber<unknown, unknown>> = []
  const backups = tenants.map((): Effect.Effect<void> | undefined => undefined)
  const away = new Set<string>()
  let count = 0
  const stamp = () => `stamp-${++count}`

  const start = <A, E>(effect: Effect.Effect<A, E, Config | TenantManager>) =>
    Effect.map(Effect.forkChild(effect), (fiber) => void underWay.push(fiber))

  const byStranger = <A, E>(tenant: number, act: (database: MemoryTenant) => Effect.Effect<A, E>) =>
    Effect.asVoid(Effect.orDie(act(databases[tenant]!)))

  const exists = (database: MemoryTenant, key: Keys.SoakKey) =>
    Effect.map(database.rows, (rows) => rows.find((row) => row.namespace === key.namespace && row.key === key.key))

  const ours = <E>(tenant: number, act: Effect.Effect<unknown, E, Config>) =>
    start(act.pipe(withTenant(tenants[tenant]!)))

  const activate = (tenant: string) =>
    Effect.gen(function* () {
      yield* Effect.ignore(manager.activate(tenant))
      yield* manager.awaitLive(tenant)
      if (away.delete(tenant)) yield* Lifecycle.forgot(client, tenant, true)
    })

  const act = (command: Command): Effect.Effect<void, never, Config | TenantManager> => {
    if (command.do === "wait") return TestClock.adjust(command.millis)
    const { tenant } = command
    const name = tenants[tenant]!
    const key = "key" in command ? single[command.key]! : Keys.Rough
    const value = () => ({ tenant: name, stamp: stamp() })
    const database = databases[tenant]!
    switch (command.do) {
      case "write":
        return byStranger(tenant, (database) => database.write(key, value(), stranger))
      case "write badly":
        return byStranger(tenant, (database) => database.write(key, { tenant: name, stamp: { unfit: stamp() } }))
      case "sign":
        return byStranger(tenant, (database) =>
          Effect.flatMap(exists(database, key), (row) =>
            row === undefined ? Effect.void : database.write(key, row.value, { actor: stamp() })
          )
        )
      case "change in place":
        return byStranger(tenant, (database) =>
          Effect.flatMap(exists(database, key), (row) =>
            row === undefined ? Effect.void : database.write(key, value(), { ...stranger, triggers: false })
          )
        )
      case "erase":
        return byStranger(tenant, (database) => database.erase(key))
      case "erase quietly":
        return byStranger(tenant, (database) => database.erase(key, { triggers: false }))
      case "write both": {
        const both = value()
        return byStranger(tenant, (database) =>
          database.transact([Keys.Left, Keys.Right].map((key) => ({ key, value: both })))
        )
      }
      case "erase both":
        return byStranger(tenant, (database) => database.transact([{ key: Keys.Left }, { key: Keys.Right }]))
      case "truncate":
        return byStranger(tenant, (database) => database.truncate)
      case "back up":
        return Effect.map(database.backup, (restore) => {
          backups[tenant] = restore
        })
      case "restore":
        return byStranger(tenant, () => backups[tenant] ?? Effect.void)
      case "set":
        return ours(tenant, Writers.set(client, name, key, stamp()))
      case "set guarded":
        return ours(tenant, Writers.setGuarded(client, name, stamp()))
      case "set both":
        return ours(tenant, Writers.setPair(client, name, stamp()))
      case "remove":
        return ours(tenant, Writers.remove(client, name, key))
      case "get":
        return ours(tenant, Readers.readValue(client, name, key))
      case "entry":
        return ours(tenant, Readers.readEntry(client, name, key))
      case "snapshot":
        return ours(tenant, Readers.readPair(client, name))
      case "activate":
        return start(activate(name))
      case "suspend":
        return start(manager.suspend(name))
      case "rotate":
        return start(manager.rotateCredentials(name))
      case "forget":
        away.add(name)
        return Effect.andThen(Lifecycle.forgot(client, name, false), start(manager.remove(name)))
      case "notifications":
        return database.feed.set({ notifications: command.are })
      case "shuffle held notifications":
        return Effect.flatMap(database.feed.takeHeld, (held) => database.feed.notify(held.toReversed()))
      case "repeat held notifications":
        return Effect.flatMap(database.feed.takeHeld, (held) => database.feed.notify([...held, ...held]))
      case "connections":
        return Effect.andThen(
          database.feed.set({ connections: command.are }),
          database.client.set({ connections: command.are })
        )
      case "requests":
        return database[command.of].set({ requests: command.are })
      case "answers":
        return database[command.of].set({ answers: command.are })
      case "disconnect":
        return Effect.asVoid(database[command.of].disconnect)
    }
  }

  const isSettled = Effect.gen(function* () {
    const statuses = yield* Effect.forEach(tenants, (tenant) => manager.status(tenant))
    return (
      statuses.every((status) => Option.exists(status, ({ state }) => state === "live")) &&
      underWay.every((fiber) => fiber.pollUnsafe() !== undefined)
    )
  })

  /** Mends everything, and lets a healthy verify period pass. */
  const settle = Effect.gen(function* () {
    for (const { client, feed } of databases) {
      yield* feed.set(MemoryDriver.healthy)
      yield* client.set(MemoryDriver.healthy)
    }
    for (const tenant of tenants) yield* start(activate(tenant))
    for (let seconds = 0; seconds < 60 && !(yield* isSettled); seconds++) yield* TestClock.adjust(1000)
    const recovered = yield* isSettled
    yield* TestClock.adjust(maxStaleness)
    return recovered ? [] : [{ check: "brokeRecovery", what: "a tenant is not live, or a call never returns" } as const]
  })

  const lastWrite = Effect.forEach(tenants, (name, tenant) =>
    byStranger(tenant, (database) =>
      database.transact(Keys.all.map((key) => ({ key, value: { tenant: name, stamp: "last" } })))
    )
  )

  return { act, settle, lastWrite }
})

/** Every plane equals its database; and every subscriber hears of one last write. */
const lastWord = (
  { lastWrite }: Effect.Success<ReturnType<typeof makeWorld>>,
  checkers: ReadonlyMap<string, Checker.Checker>,
  heard: Subscribers.Heard
) =>
  Effect.gen(function* () {
    const check = (
      problem: (final: Parameters<typeof Convergence.problemOf>[0], checker: Checker.Checker) => string | undefined
    ) =>
      Effect.map(
        Effect.forEach(tenants, (tenant) =>
          Effect.forEach(Keys.all, (key) =>
            Effect.map(Effect.orDie(Config.entry(key)), ({ revision, stale, value }) => {
              const name = Keys.nameOf(key)
              const { stamp } = value as Seen
              const last = heard.get(`${tenant}/${name}`)
              const what = problem(
                { plane, tenant, key: name, stamp, revision, stale, heard: last },
                checkers.get(tenant)!
              )
              return what === undefined ? [] : [{ what, tenant, key: name }]
            })
          ).pipe(withTenant(tenant as never))
        ),
        (found) => found.flat(2)
      )
    const apart = yield* check((final, checker) => Convergence.problemOf(final, checker.history(final.key)))
    yield* lastWrite
    yield* TestClock.adjust(maxStaleness)
    const undelivered = yield* check((final, checker) => Convergence.undelivered(final, checker.history(final.key)))
    return [
      ...apart.map((found) => ({ check: "brokeConvergence", ...found }) as const),
      ...undelivered.map((found) => ({ check: "brokeSubscribers", ...found }) as const)
    ]
  })
